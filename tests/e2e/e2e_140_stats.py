"""The stats socket speaks HAProxy's language."""

import contextlib
import json
import os
import re
import stat
import time

from harness import *

COLUMNS = """pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,wredis,
status,weight,act,bck,chkfail,chkdown,lastchg,downtime,qlimit,pid,iid,sid,throttle,lbtot,tracked,type,rate,
rate_lim,rate_max,check_status,check_code,check_duration,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,
hrsp_other,hanafail,req_rate,req_rate_max,req_tot,cli_abrt,srv_abrt,comp_in,comp_out,comp_byp,comp_rsp,
lastsess,last_chk,last_agt,qtime,ctime,rtime,ttime,agent_status,agent_code,agent_duration,check_desc,
agent_desc,check_rise,check_fall,check_health,agent_rise,agent_fall,agent_health,addr,cookie,mode,algo,
conn_rate,conn_rate_max,conn_tot,intercepted,dcon,dses,wrew,connect,reuse,cache_lookups,cache_hits,srv_icur,
src_ilim,qtime_max,ctime_max,rtime_max,ttime_max,eint,idle_conn_cur,safe_conn_cur,used_conn_cur,
need_conn_est,uweight""".replace("\n", "").split(",")


def two(t, **kw):
    a, b = t.backend(named), t.backend(named)
    return t.simple([a, b], top="workers = 1;", **kw)


def test_stats_show_info(t):
    s, front = two(t)
    info = s.info()
    for key in ("Name", "Version", "Release_date", "Nbthread", "Nbproc", "Process_num", "Pid", "Uptime",
                "Uptime_sec", "Maxconn", "CurrConns", "CumConns", "Maxpipes", "PipesUsed", "Tasks",
                "Run_queue", "Idle_pct", "node", "Stopping"):
        check_in(key, info, "show info")
    check_eq(info["Pid"], str(s.pid))
    check(info["node"], "node is not empty")
    check_match(r"^\d+d \d+h\d\dm\d\ds$", info["Uptime"])


def test_stats_show_stat_has_all_columns_and_rows(t):
    s, front = two(t)
    lines = s.ctl("show stat").rstrip("\n").split("\n")
    header = lines[0][2:].split(",")
    check_eq(header[:len(COLUMNS)], COLUMNS)
    for line in lines[1:]:
        check_eq(line.count(","), lines[0].count(","), "commas of %r" % line[:40])
        check(line.endswith(","), "a row ends with a comma")
    rows = s.stat()
    check_eq([(k, r["type"]) for k, r in rows.items()],
             [(("front", "FRONTEND"), "0"), (("app", "b1"), "2"), (("app", "b2"), "2"),
              (("app", "BACKEND"), "1")])
    check_eq(rows["front", "FRONTEND"]["status"], "OPEN")
    check_eq((rows["app", "b1"]["status"], rows["app", "b1"]["sid"]), ("UP", "1"))
    check_eq(rows["app", "BACKEND"]["act"], "2")
    check_eq(rows["app", "BACKEND"]["algo"], "roundrobin")
    check_eq(rows["app", "b1"]["addr"], where(t.backends[0].address))


def test_stats_show_stat_filters(t):
    s, front = two(t)
    iid = s.stat()["app", "BACKEND"]["iid"]
    lines = s.ctl("show stat %s 4 -1" % iid).strip().split("\n")
    check_eq([line.split(",")[1] for line in lines[1:]], ["b1", "b2"])
    lines = s.ctl("show stat -1 1 -1").strip().split("\n")
    check_eq([line.split(",")[1] for line in lines[1:]], ["FRONTEND"])
    lines = s.ctl("show stat app 4 2").strip().split("\n")
    check_eq([line.split(",")[1] for line in lines[1:]], ["b2"])


def test_stats_json(t):
    s, front = two(t)
    for command in ("show info json", "show stat json"):
        json.loads(s.ctl(command))
    for command in ("show servers state", "show servers conn", "show backend", "show sess"):
        rows = json.loads(s.ctl(command + " json"))
        check(isinstance(rows, list), "an array for " + command)
    state = json.loads(s.ctl("show servers state json"))
    check_eq([row["srv_name"] for row in state], ["b1", "b2"])


def test_stats_typed(t):
    s, front = two(t)
    check_match(r"^\d+\.Pid\.\d+:[A-Z]{4}:u32:%d$" % s.pid, s.ctl("show info typed"))
    check_match(r"^F\.\d+\.0\.\d+\.scur\.\d+:[A-Z]{4}:u32:0$", s.ctl("show stat typed"))


def test_stats_show_servers_state(t):
    s, front = two(t)
    lines = s.ctl("show servers state").rstrip("\n").split("\n")
    check_eq(lines[0], "1")
    check_eq(lines[1].split()[:8], "# be_id be_name srv_id srv_name srv_addr srv_op_state "
                                   "srv_admin_state".split())
    rows = [line.split(" ") for line in lines[2:]]
    check_eq([len(row) for row in rows], [25, 25])
    check_eq(rows[0][1:6], ["app", "1", "b1", t.ip, "2"])
    check_eq(rows[0][18], str(t.backends[0].address[1]))
    s.ok("disable server app/b1")
    s.ok("set server app/b2 state drain")
    rows = [line.split(" ") for line in s.ctl("show servers state app").rstrip("\n").split("\n")[2:]]
    check_eq((int(rows[0][6]) & 1, int(rows[1][6]) & 8), (1, 8), "admin state")
    check_in("backend", s.ctl("show servers state nopool").lower())


def test_stats_show_servers_conn(t):
    s, front = two(t)
    lines = s.ctl("show servers conn").rstrip("\n").split("\n")
    check(lines[0].startswith("# bkname/svname bkid/svid addr port - "), "header", lines[0])
    check_match(r"^app/b1 \d+/1 %s %d - " % (t.ip, t.backends[0].address[1]), lines[1])


def test_stats_small_shows(t):
    s, front = two(t)
    check_eq(s.ctl("show backend").strip().split("\n"), ["# name", "app"])
    check_match(r"\d+\.\d+", s.ctl("show version"))
    check_eq(s.ctl("show ready").strip(), "ready")
    check_in("admin", s.ctl("show cli level"))
    check_in(s.stats_path, s.ctl("show cli sockets"))
    check_match(r"(?m)^The following commands are valid at this level:", s.ctl("help"))
    check_match(r"(?m)^  show stat", s.ctl("help"))
    check_match(r"(?m)^  quit", s.ctl("help"))


def test_stats_unknown_commands_are_refused_in_haproxys_words(t):
    s, front = two(t)
    check_match(r"^Unknown command: 'shw stat'", s.ctl("shw stat"))
    check_in("No such server.", s.ctl("disable server app/none"))
    check_match(r"No such (backend|server|proxy)\.", s.ctl("disable server none/b1"))
    check_in("Require 'backend/server'.", s.ctl("disable server app"))
    check_in("'set server <srv> state' expects 'ready', 'drain' and 'maint'.",
             s.ctl("set server app/b1 state asleep"))
    check_in("'set server <srv> health' expects 'up', 'stopping', or 'down'.",
             s.ctl("set server app/b1 health fine"))


def test_stats_several_commands_in_a_line(t):
    s, front = two(t)
    answer = s.ctl("show version; show backend;get weight app/b1")
    check_in("# name\napp\n", answer)
    check_in("1 (initial 1)", answer)


def test_stats_prompt_mode(t):
    s, front = two(t)
    c = Ctl(s.stats_path)
    check_in("# name\napp\n", c.command("show backend"))
    check_in("Pid: %d" % s.pid, c.command("show info"))
    c.command("set timeout cli 60")
    c.s.sendall(b"quit\n")
    check_eq(recv_all(c.s).strip(), b"")
    c.close()


def test_stats_show_pools_counts_the_objects_of_all_workers(t):
    s, front = two(t)

    def sessions():
        return [slab for slab in json.loads(s.ctl("show pools json"))["slabs"]
                if slab["slab"] == "session"]

    check_eq([r["used"] for r in sessions()], [0])
    conns = [connect(front) for _ in range(20)]
    for c in conns:
        recv_line(c)
    row, = sessions()
    check_eq((row["used"], row["failed"]), (20, 0))
    check(row["allocated"] >= 20 and row["object_bytes"] > 0, row)
    for c in conns:
        c.close()
    wait_until(lambda: [r["used"] for r in sessions()] == [0], "they are given back")
    check_match(r"(?m)^session \d+ 0 \d+ 0$", s.ctl("show pools"))


def test_stats_commands_in_single_bytes(t):
    s, front = two(t)
    with contextlib.closing(connect(s.stats_path)) as c:
        for byte in b"show backend\n":
            c.sendall(bytes([byte]))
            time.sleep(0.002)
        check_eq(recv_all(c), b"# name\napp\n\n")


def test_stats_disable_and_enable_server(t):
    s, front = two(t)
    s.ok("disable server app/b1")
    check_eq(s.status("app", "b1"), "MAINT")
    wait_until(lambda: [who(front) for _ in range(4)] == ["b2"] * 4, "b1 gets nothing")
    s.ok("enable server app/b1")
    s.wait_status("app", "b1", "UP")
    wait_until(lambda: "b1" in [who(front) for _ in range(4)], "b1 is back")


def test_stats_drain_keeps_connections_and_takes_no_new_ones(t):
    s, front = two(t)
    conns = [connect(front) for _ in range(4)]
    names = [recv_line(c) for c in conns]
    s.ok("set server app/b1 state drain")
    check_match("DRAIN", s.status("app", "b1"))
    wait_until(lambda: [who(front) for _ in range(4)] == ["b2"] * 4, "b1 gets nothing")
    for c in conns:
        c.sendall(b"alive")
        check_eq(recv_exact(c, 5), b"alive")
        c.close()
    check_in(b"b1\n", names)
    s.ok("set server app/b1 state ready")
    s.wait_status("app", "b1", "UP")


def test_stats_weights(t):
    s, front = two(t)
    check_eq(s.ctl("get weight app/b1").strip(), "1 (initial 1)")
    s.ok("set weight app/b1 3")
    check_eq(s.ctl("get weight app/b1").strip(), "3 (initial 1)")
    check_eq(s.stat()["app", "b1"]["weight"], "3")
    wait_until(lambda: [who(front) for _ in range(8)].count("b1") == 6, "3 to 1")
    s.ok("set weight app/b1 50%")
    check_eq(s.ctl("get weight app/b1").strip(), "1 (initial 1)", "half of 1 is not nothing")
    s.ok("set server app/b1 weight 0")
    wait_until(lambda: [who(front) for _ in range(4)] == ["b2"] * 4, "weight 0 gets nothing")
    s.ok("set weight app/b1 100%")
    check_eq(s.ctl("get weight app/b1").strip(), "1 (initial 1)")
    for bad in ("-1", "257", "x", "101%%", ""):
        check(s.ctl("set weight app/b1 " + bad).strip(), "an error for weight", bad)


def test_stats_set_server_addr(t):
    s, front = two(t)
    third = t.backend(named, name="third")
    answer = s.ctl("set server app/b1 addr %s port %d" % third.address)
    check("No such" not in answer and "Unknown" not in answer, "answer", answer)
    wait_until(lambda: "third" in [who(front) for _ in range(4)], "traffic at the new address")
    check_eq(s.stat()["app", "b1"]["addr"], where(third.address))


def test_stats_set_server_health(t):
    s, front = two(t, pool='health = { type = "tcp"; interval = "60s"; };')
    s.ok("set server app/b1 health down")
    s.wait_status("app", "b1", "DOWN.*")
    s.ok("set server app/b1 health up")
    s.wait_status("app", "b1", "UP.*")


def test_stats_enable_and_disable_health(t):
    b = t.backend(named)
    s, front = t.simple([b], pool='health = { type = "tcp"; interval = "20ms"; };')
    s.ok("disable health app/b1")
    time.sleep(0.1)
    before = b.accepted
    time.sleep(0.3)
    check(b.accepted <= before + 1, "checks while disabled", b.accepted - before)
    s.ok("enable health app/b1")
    wait_until(lambda: b.accepted > before + 3, "checks again")


def test_stats_show_sess_and_shutdown_session(t):
    s, front = two(t)
    c = connect(front)
    name = recv_line(c).strip().decode()
    mine = "%s:%d" % c.getsockname()
    line = next(l for l in s.ctl("show sess").splitlines() if mine in l)
    ident = line.split(":")[0]
    check_match(r"^0x[0-9a-f]+: proto=\S+ src=%s fe=front be=app srv=%s " % (re.escape(mine), name),
                line)
    check_in(mine, s.ctl("show sess " + ident))
    s.ok("shutdown session " + ident)
    expect_closed(c)
    c.close()
    s.wait_access(" KD ")
    check(s.ctl("shutdown session 0xdead").strip(), "an error for an unknown session")


def test_stats_shutdown_sessions_server(t):
    s, front = two(t)
    conns = [connect(front) for _ in range(8)]
    by_name = {}
    for c in conns:
        by_name.setdefault(recv_line(c), []).append(c)
    s.ok("shutdown sessions server app/b1")
    for c in by_name[b"b1\n"]:
        expect_closed(c)
    for c in by_name[b"b2\n"]:
        c.sendall(b"x")
        check_eq(recv_exact(c, 1), b"x")
    for c in conns:
        c.close()


def test_stats_show_sess_of_a_thousand(t):
    s, front = two(t)
    conns = [connect(front) for _ in range(1000)]
    s.wait_number("front", "FRONTEND", "scur", 1000)
    lines = [l for l in s.ctl("show sess").splitlines() if l.startswith("0x")]
    check_eq(len(lines), 1000)
    check_eq(len({l.split(":")[0] for l in lines}), 1000, "different ids")
    for c in conns:
        c.close()


def test_stats_clear_counters(t):
    s, front = two(t)
    for _ in range(4):
        who(front)
    s.wait_number("front", "FRONTEND", "scur", 0)
    s.ok("clear counters")
    check_eq(s.number("front", "FRONTEND", "smax"), 0)
    s.ok("clear counters all")
    for row in s.stat().values():
        check_eq(row["stot"], "0", "stot of %s" % row["svname"])
    who(front)
    s.wait_number("front", "FRONTEND", "stot", 1)


def test_stats_severity_output(t):
    s, front = two(t)
    c = Ctl(s.stats_path)
    c.command("set severity-output number")
    check_match(r"^\[3\]: .*No such server", c.command("disable server app/none").strip())
    c.command("set severity-output none")
    check_match(r"^No such server", c.command("disable server app/none").strip())
    c.close()


def test_stats_levels(t):
    paths = {level: t.path(level + ".sock") for level in ("user", "operator", "admin")}
    rows = ", ".join('{ socket = "%s"; level = "%s"; mode = "660"; }' % (p, l)
                     for l, p in paths.items())
    s, front = t.simple([t.backend(named)], top="stats = ( %s );" % rows, stats=False)
    s.stats_path = paths["admin"]
    wait_until(s.answers, "the admin socket answers")
    s.baseline = s.settled_fds()

    def ask(level, command):
        with contextlib.closing(connect(paths[level])) as c:
            c.sendall(command.encode() + b"\n")
            return recv_all(c).decode().strip()
    check_in("Pid", ask("user", "show info"))
    check_eq(ask("user", "disable server app/b1"), "Permission denied")
    check_eq(ask("operator", "set weight app/b1 2"), "Permission denied")
    check_eq(ask("admin", "set weight app/b1 2"), "")
    check_in("operator", ask("operator", "show cli level"))
    # a connection may lower its level
    check_eq(ask("admin", "user; set weight app/b1 1"), "Permission denied")
    check_eq(stat.S_IMODE(os.stat(paths["admin"]).st_mode), 0o660)


def test_stats_socket_mode_is_600_by_default(t):
    s, front = two(t)
    check_eq(stat.S_IMODE(os.stat(s.stats_path).st_mode), 0o600)


def test_stats_reading_clients_may_be_slow_or_leave(t):
    s, front = two(t)
    slow = [connect(s.stats_path) for _ in range(10)]
    for c in slow:
        c.sendall(b"prompt\n" + b"show stat\n" * 500)
    for _ in range(20):
        check_in("Pid", s.ctl("show info"))
    for c in slow:
        c.close()


def test_stats_downtime_and_last_change(t):
    b = t.backend(named)
    s, front = t.simple([b], pool='health = { type = "tcp"; interval = "50ms"; rise = 1; fall = 1; };')
    b.kill()
    s.wait_status("app", "b1", "DOWN.*")
    wait_until(lambda: s.number("app", "b1", "downtime") >= 1, "downtime is counted")
    check(s.number("app", "BACKEND", "downtime") >= 1, "the pool's too")
    check_eq(s.status("app", "BACKEND"), "DOWN")
    b.start()
    s.wait_status("app", "b1", "UP")
    check(s.number("app", "b1", "lastchg") <= 2, "seconds since the last change")


def test_stats_rates_are_seen(t):
    s, front = two(t)
    for _ in range(20):
        who(front)
    wait_until(lambda: s.number("front", "FRONTEND", "rate_max") > 0, "rate_max")
