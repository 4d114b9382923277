/* info_keys.h - the keys of `show info`: HAProxy's names in HAProxy's order with its type letters
 * (see fields.h). What sluice does not have is 0: tools look for the key. */
#ifndef SLUICE_ADMIN_INFO_KEYS_H
#define SLUICE_ADMIN_INFO_KEYS_H

/* clang-format off */
#define INFO_KEYS(X) \
    X(Name, "Name", "POSV", "Product name") \
    X(Version, "Version", "POSV", "Product version") \
    X(Release_date, "Release_date", "POSV", "Date of this version") \
    X(Nbthread, "Nbthread", "CGSV", "Worker threads") \
    X(Nbproc, "Nbproc", "CGSV", "Processes") \
    X(Process_num, "Process_num", "KGPV", "Number of this process") \
    X(Pid, "Pid", "SGPV", "Process id") \
    X(Uptime, "Uptime", "MDPV", "Time since the start") \
    X(Uptime_sec, "Uptime_sec", "MDPV", "Seconds since the start") \
    X(Memmax_MB, "Memmax_MB", "CLPV", "Limit of memory (cgroup), 0: none") \
    X(PoolAlloc_MB, "PoolAlloc_MB", "MGPV", "Receive buffers allocated") \
    X(PoolUsed_MB, "PoolUsed_MB", "MGPV", "Receive buffers in use") \
    X(PoolFailed, "PoolFailed", "MCPV", "Sessions refused for want of memory") \
    X(Ulimit_n, "Ulimit-n", "CLPV", "Limit of open files") \
    X(Maxsock, "Maxsock", "CLPV", "Limit of sockets") \
    X(Maxconn, "Maxconn", "CLPV", "Limit of sessions") \
    X(Hard_maxconn, "Hard_maxconn", "CLPV", "Limit of sessions found at start") \
    X(CurrConns, "CurrConns", "MGPV", "Sessions now") \
    X(CumConns, "CumConns", "MCPV", "Connections in total") \
    X(CumReq, "CumReq", "MCPV", "HTTP requests and sessions of mode tcp in total") \
    X(MaxSslConns, "MaxSslConns", "MMPV", "Not used here") \
    X(CurrSslConns, "CurrSslConns", "MGPV", "Sessions with TLS now") \
    X(CumSslConns, "CumSslConns", "MCPV", "Sessions with TLS in total") \
    X(Maxpipes, "Maxpipes", "CLPV", "Limit of pipes") \
    X(PipesUsed, "PipesUsed", "MGPV", "Pipes in use") \
    X(PipesFree, "PipesFree", "MGPV", "Pipes open and not in use") \
    X(ConnRate, "ConnRate", "MRPV", "Connections per second") \
    X(ConnRateLimit, "ConnRateLimit", "CLPV", "Not used here") \
    X(MaxConnRate, "MaxConnRate", "MMPV", "Most connections per second") \
    X(SessRate, "SessRate", "MRPV", "Sessions per second") \
    X(SessRateLimit, "SessRateLimit", "CLPV", "Not used here") \
    X(MaxSessRate, "MaxSessRate", "MMPV", "Most sessions per second") \
    X(SslRate, "SslRate", "MRPV", "TLS handshakes of clients per second") \
    X(SslRateLimit, "SslRateLimit", "CLPV", "Not used here") \
    X(MaxSslRate, "MaxSslRate", "MMPV", "Most of them per second") \
    X(SslFrontendKeyRate, "SslFrontendKeyRate", "MRPV", "Of these, full ones per second") \
    X(SslFrontendMaxKeyRate, "SslFrontendMaxKeyRate", "MMPV", "Most of them per second") \
    X(SslFrontendSessionReuse_pct, "SslFrontendSessionReuse_pct", "MGPV", "Share of handshakes that resumed a session, percent") \
    X(SslBackendKeyRate, "SslBackendKeyRate", "MRPV", "Full TLS handshakes with backends per second") \
    X(SslBackendMaxKeyRate, "SslBackendMaxKeyRate", "MMPV", "Most of them per second") \
    X(SslCacheLookups, "SslCacheLookups", "MCPV", "Not used here") \
    X(SslCacheMisses, "SslCacheMisses", "MCPV", "Not used here") \
    X(CompressBpsIn, "CompressBpsIn", "MRPV", "Not used here") \
    X(CompressBpsOut, "CompressBpsOut", "MRPV", "Not used here") \
    X(CompressBpsRateLim, "CompressBpsRateLim", "CLPV", "Not used here") \
    X(ZlibMemUsage, "ZlibMemUsage", "MGPV", "Not used here") \
    X(MaxZlibMemUsage, "MaxZlibMemUsage", "CLPV", "Not used here") \
    X(Tasks, "Tasks", "MGPV", "Sessions and listeners") \
    X(Run_queue, "Run_queue", "MGPV", "Work that waits") \
    X(Idle_pct, "Idle_pct", "MaPV", "Share of time that workers waited, percent") \
    X(node, "node", "COSV", "Host name") \
    X(description, "description", "COSV", "Description") \
    X(Stopping, "Stopping", "MGPV", "1 while draining") \
    X(Jobs, "Jobs", "MGPV", "Sessions and listeners") \
    X(Unstoppable_Jobs, "Unstoppable Jobs", "MGPV", "Not used here") \
    X(Listeners, "Listeners", "MGPV", "Listeners") \
    X(ActivePeers, "ActivePeers", "MGPV", "Not used here") \
    X(ConnectedPeers, "ConnectedPeers", "MGPV", "Not used here") \
    X(DroppedLogs, "DroppedLogs", "MCPV", "Log lines dropped") \
    X(BusyPolling, "BusyPolling", "MGPV", "Not used here") \
    X(FailedResolutions, "FailedResolutions", "MCPV", "Not used here") \
    X(TotalBytesOut, "TotalBytesOut", "MCPV", "Bytes to clients") \
    X(TotalSplicedBytesOut, "TotalSplicedBytesOut", "MCPV", "Bytes moved by splice") \
    X(BytesOutRate, "BytesOutRate", "MRPV", "Bytes to clients per second") \
    X(DebugCommandsIssued, "DebugCommandsIssued", "MGPV", "Not used here") \
    X(CumRecvLogs, "CumRecvLogs", "MCPV", "Not used here") \
    X(Build_info, "Build info", "POSV", "Version and engine") \
    X(Memmax_bytes, "Memmax_bytes", "CLPV", "Limit of memory (cgroup), 0: none") \
    X(PoolAlloc_bytes, "PoolAlloc_bytes", "MGPV", "Receive buffers allocated") \
    X(PoolUsed_bytes, "PoolUsed_bytes", "MGPV", "Receive buffers in use") \
    X(Start_time_sec, "Start_time_sec", "MDPV", "Time of the start, seconds since 1970") \
    X(Tainted, "Tainted", "SGPV", "Not used here") \
    X(TotalWarnings, "TotalWarnings", "MCPV", "Not used here") \
    X(MaxconnReached, "MaxconnReached", "MCPV", "Times that accepting was paused") \
    X(BootTime_ms, "BootTime_ms", "MDPV", "Not used here") \
    X(Niced_tasks, "Niced_tasks", "MGPV", "Not used here") \
    X(CurrStreams, "CurrStreams", "MGPV", "Sessions now") \
    X(CumStreams, "CumStreams", "MCPV", "HTTP requests and sessions of mode tcp in total") \
    X(BlockedTrafficWarnings, "BlockedTrafficWarnings", "MCPV", "Not used here") \
    X(PatternsAdded, "PatternsAdded", "MCPV", "Not used here") \
    X(PatternsFreed, "PatternsFreed", "MCPV", "Not used here") \
    X(NbThreadGroups, "NbThreadGroups", "CGSV", "Thread groups") \
    X(SslCertExpiry_days, "SslCertExpiry_days", "MGPV", "Days until the first certificate in use expires; - without any") \
    X(Hardening, "Hardening", "POSV", "What the process has given up; - when nothing")
/* clang-format on */

#define INFO_KEY_ID(id, name, tags, help) INFO_##id,
enum info_key { INFO_KEYS(INFO_KEY_ID) INFO_N_KEYS };

#endif
