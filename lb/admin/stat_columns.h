/* stat_columns.h - the columns of `show stat`: HAProxy's names in HAProxy's order, its type letters
 * (see fields.h), and what they say here. Tools read them by position: append, never insert. */
#ifndef SLUICE_ADMIN_STAT_COLUMNS_H
#define SLUICE_ADMIN_STAT_COLUMNS_H

/* clang-format off */
#define STAT_COLUMNS(X) \
    X(pxname, "KNSV", "Proxy name") \
    X(svname, "KNSV", "FRONTEND, BACKEND, or the server's name") \
    X(qcur, "MGPV", "Sessions in the queue") \
    X(qmax, "MMPV", "Most sessions in the queue") \
    X(scur, "MGPV", "Sessions now") \
    X(smax, "MMPV", "Most sessions at the same time") \
    X(slim, "CLPV", "Limit of sessions") \
    X(stot, "MCPP", "Sessions in total") \
    X(bin, "MCPP", "Bytes from clients") \
    X(bout, "MCPP", "Bytes to clients") \
    X(dreq, "MCPP", "Requests denied") \
    X(dresp, "MCPP", "Responses denied") \
    X(ereq, "MCPP", "Malformed requests (tcp: PROXY headers)") \
    X(econ, "MCPP", "Failed connects to a server") \
    X(eresp, "MCPP", "Failed responses of a server") \
    X(wretr, "MCPP", "Retried connects") \
    X(wredis, "MCPP", "Sessions that another server took over") \
    X(status, "SGPV", "Status") \
    X(weight, "MaPV", "Effective weight") \
    X(act, "SGPV", "Active servers that are up (server: is active)") \
    X(bck, "SGPV", "Backup servers that are up (server: is a backup)") \
    X(chkfail, "MCPP", "Failed checks") \
    X(chkdown, "MCPP", "Transitions to down") \
    X(lastchg, "MAPV", "Seconds since the last change of the status") \
    X(downtime, "MCPP", "Seconds of downtime in total") \
    X(qlimit, "CLPV", "Limit of the queue") \
    X(pid, "KGPV", "Process number (1)") \
    X(iid, "KGSV", "Proxy's id") \
    X(sid, "KGSV", "Server's id within its proxy") \
    X(throttle, "SGPV", "Share of the weight during slow start, percent") \
    X(lbtot, "MCPP", "Times that balancing chose it") \
    X(tracked, "CGSV", "Tracked server") \
    X(type, "CGSV", "0 frontend, 1 backend, 2 server") \
    X(rate, "MRPV", "Sessions per second") \
    X(rate_lim, "CLPV", "Limit of sessions per second") \
    X(rate_max, "MMPV", "Most sessions per second") \
    X(check_status, "MOPV", "Result of the last check") \
    X(check_code, "MOPV", "Code of the last check (HTTP status)") \
    X(check_duration, "MDPV", "Milliseconds that the last check took") \
    X(hrsp_1xx, "MCPP", "HTTP responses 1xx") \
    X(hrsp_2xx, "MCPP", "HTTP responses 2xx") \
    X(hrsp_3xx, "MCPP", "HTTP responses 3xx") \
    X(hrsp_4xx, "MCPP", "HTTP responses 4xx") \
    X(hrsp_5xx, "MCPP", "HTTP responses 5xx") \
    X(hrsp_other, "MCPP", "HTTP responses of other classes") \
    X(hanafail, "MCPP", "Failures that traffic showed") \
    X(req_rate, "MRPV", "HTTP requests per second") \
    X(req_rate_max, "MMPV", "Most HTTP requests per second") \
    X(req_tot, "MCPP", "HTTP requests in total") \
    X(cli_abrt, "MCPP", "Sessions that the client aborted") \
    X(srv_abrt, "MCPP", "Sessions that the server aborted") \
    X(comp_in, "MCPP", "Bytes into compression") \
    X(comp_out, "MCPP", "Bytes out of compression") \
    X(comp_byp, "MCPP", "Bytes that bypassed compression") \
    X(comp_rsp, "MCPP", "Compressed responses") \
    X(lastsess, "MAPV", "Seconds since the last session, -1: none yet") \
    X(last_chk, "MOPV", "What the last check saw") \
    X(last_agt, "MOPV", "What the last agent check saw") \
    X(qtime, "MaPV", "Average milliseconds in the queue (last 1024 sessions)") \
    X(ctime, "MaPV", "Average milliseconds to connect (last 1024 sessions)") \
    X(rtime, "MaPV", "Average milliseconds to respond (last 1024 sessions)") \
    X(ttime, "MaPV", "Average milliseconds of a session (last 1024 sessions)") \
    X(agent_status, "MOPV", "Result of the last agent check") \
    X(agent_code, "MOPV", "Code of the last agent check") \
    X(agent_duration, "MDPV", "Milliseconds that the last agent check took") \
    X(check_desc, "MOPV", "Result of the last check in words") \
    X(agent_desc, "MOPV", "Result of the last agent check in words") \
    X(check_rise, "CGSV", "Passed checks until up") \
    X(check_fall, "CGSV", "Failed checks until down") \
    X(check_health, "CGSV", "Health from 0 to rise+fall-1; up from rise on") \
    X(agent_rise, "CGSV", "Agent's rise") \
    X(agent_fall, "CGSV", "Agent's fall") \
    X(agent_health, "CGSV", "Agent's health") \
    X(addr, "CGSV", "Address and port") \
    X(cookie, "CGSV", "Cookie value") \
    X(mode, "CGSV", "Mode") \
    X(algo, "CGSV", "Balancing algorithm") \
    X(conn_rate, "MRPV", "Connections per second") \
    X(conn_rate_max, "MMPV", "Most connections per second") \
    X(conn_tot, "MCPP", "Connections in total") \
    X(intercepted, "MCPP", "Intercepted requests") \
    X(dcon, "MCPP", "Connections denied") \
    X(dses, "MCPP", "Sessions denied") \
    X(wrew, "MCPP", "Failed header rewrites") \
    X(connect, "MCPP", "Connects tried to a server") \
    X(reuse, "MCPP", "Connections reused") \
    X(cache_lookups, "MCPP", "Cache lookups") \
    X(cache_hits, "MCPP", "Cache hits") \
    X(srv_icur, "MGPV", "Idle connections to a server") \
    X(src_ilim, "CLPV", "Limit of idle connections") \
    X(qtime_max, "MMPV", "Most milliseconds in the queue") \
    X(ctime_max, "MMPV", "Most milliseconds to connect") \
    X(rtime_max, "MMPV", "Most milliseconds to respond") \
    X(ttime_max, "MMPV", "Most milliseconds of a session") \
    X(eint, "MCPP", "Internal errors") \
    X(idle_conn_cur, "MGPV", "Unsafe idle connections") \
    X(safe_conn_cur, "MGPV", "Safe idle connections") \
    X(used_conn_cur, "MGPV", "Connections in use") \
    X(need_conn_est, "MGPV", "Connections needed, estimated") \
    X(uweight, "MaPV", "Weight as configured or set") \
    X(agg_server_status, "MGPV", "Servers by status") \
    X(agg_server_check_status, "MGPV", "Servers by check status") \
    X(agg_check_status, "MGPV", "Check statuses") \
    X(srid, "KGPV", "Revision of the server's id") \
    X(sess_other, "MCPP", "Sessions that are not HTTP") \
    X(h1sess, "MCPP", "Sessions of HTTP/1") \
    X(h2sess, "MCPP", "Sessions of HTTP/2") \
    X(h3sess, "MCPP", "Sessions of HTTP/3") \
    X(req_other, "MCPP", "Requests that are not HTTP") \
    X(h1req, "MCPP", "Requests of HTTP/1") \
    X(h2req, "MCPP", "Requests of HTTP/2") \
    X(h3req, "MCPP", "Requests of HTTP/3") \
    X(proto, "CGSV", "Protocol") \
    X(priv_idle_cur, "MGPV", "Private idle connections") \
    X(reqbin, "MCPP", "Request bytes received") \
    X(reqbout, "MCPP", "Request bytes sent") \
    X(resbin, "MCPP", "Response bytes received") \
    X(resbout, "MCPP", "Response bytes sent") \
    X(cache_hint_hits, "MCPP", "Cache hint hits")
/* clang-format on */

#define STAT_COLUMN_ID(name, tags, help) STAT_##name,
enum stat_column { STAT_COLUMNS(STAT_COLUMN_ID) STAT_N_COLUMNS };

#endif
