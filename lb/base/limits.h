/* limits.h - every fixed bound of the program, with its unit and its reason, in one place. */
#ifndef SLUICE_BASE_LIMITS_H
#define SLUICE_BASE_LIMITS_H

#define CACHE_LINE 64 /* bytes; x86-64 and most arm64 */

/* Configuration. */
#define LIMIT_NAME_LEN     63   /* bytes of a listener, pool or backend name; fits a stats row */
#define LIMIT_POOLS        4096 /* per process; an index is 16 bits in the stats rows */
#define LIMIT_LISTENERS    1024
#define LIMIT_BACKENDS     65536 /* slots in the table over the life of the process */
#define LIMIT_WORKERS      256   /* threads; per-worker arrays are sized by the actual number */
#define LIMIT_WEIGHT       256   /* HAProxy's range, 0 to 256 */
#define LIMIT_RETRIES      16    /* more attempts than this hide an outage */
#define LIMIT_CONFIG_BYTES (16u << 20) /* a configuration larger than this is a mistake */

#define LIMIT_CONFIG_DEPTH    16 /* groups and lists within each other; the deepest setting has 8 */
#define LIMIT_CONFIG_GROUP    256   /* settings in one group; the largest group of ours has 29 */
#define LIMIT_ROUTES          65536 /* of one listener; of everything within one route: */
#define LIMIT_ROUTE_LIST      4096  /* hosts, paths, networks, headers */
#define LIMIT_CERTIFICATES    4096  /* of one listener */
#define LIMIT_ERROR_PAGE      65536 /* bytes of a file that is sent in one go, kept in memory */
#define LIMIT_CONFIG_INCLUDES 10    /* files within files */
#define LIMIT_CONFIG_PROBLEMS 1000  /* reported in one go */
#define LIMIT_CONFIG_QUOTE    120   /* bytes of a line or value shown in a message */
#define LIMIT_CONNECTIONS     1000000000 /* what a limit may be set to; far beyond any machine */
#define LIMIT_BINDS           64         /* addresses of one listener */
#define LIMIT_CHECK_TEXT      4096       /* bytes of a check's send, expect, path and body */

/* Logs. */
#define LIMIT_LOG_LINE    2048         /* bytes of a process log line; formatted on the stack */
#define LIMIT_LOG_RECORD  (16u << 10)  /* bytes of any line; longer ones are dropped */
#define LIMIT_LOG_RING    (512u << 10) /* bytes queued per sink, then lines are dropped */
#define LIMIT_LOG_STOP_MS 2000         /* a reader that is stuck may delay the end so long */

/* Engines. */
#define LIMIT_TURN_EVENTS   512 /* completions run per turn: bounds the latency of the last one */
#define LIMIT_SQ_ENTRIES    1024
#define LIMIT_CQ_ENTRIES    (8 * LIMIT_SQ_ENTRIES) /* overflow costs a syscall, never an event */
/* Bytes of one receive buffer. Of 16 KiB, each took a call of its own on io_uring: bodies of 1 MiB
 * over TLS went half as fast. Pages that nothing reaches cost nothing, and what waits long in a
 * small part of one is moved elsewhere (io_buf_keep). */
#define LIMIT_BUF_SIZE      (64u << 10)
#define LIMIT_BUFS_POSTED   256  /* receive buffers offered to the kernel at once, power of 2 */
#define LIMIT_BUFS          4096 /* receive buffers of one worker: then receives wait */
#define LIMIT_PIPE_BYTES    (1u << 20) /* asked for a splice pipe; less where the system caps it */
#define LIMIT_FILES_OPEN    512        /* kept open by one worker, beside those being read */
#define LIMIT_FILE_ENTRIES  4096       /* paths that one worker remembers, those of no file too */
#define LIMIT_FILE_FRESH_MS 1000       /* then a path is looked at again */
#define LIMIT_FILE_READ     (128u << 10) /* bytes read at once */
#define LIMIT_FILE_KNOWN                                                                           \
    (64u << 20) /* bytes of one that count as being in memory after they were read */
#define LIMIT_FILE_DIRECT  LIMIT_TURN_SPLICE /* bytes of a file that are sent past us in one go */
#define LIMIT_FILE_THREADS 4                 /* that wait for disks, of one worker */
#define LIMIT_PIPES_IDLE   64                /* empty pipes that one worker keeps open */
/* Bytes that one splice moves before others get a turn: a full pipe. In four of five runs on a
 * noisy machine small requests beside bulk transfers had 10 to 40 % less p99 latency than with
 * 4 MiB, at the same CPU time per byte (in the fifth, more); 256 KiB was no clear gain over that.
 */
#define LIMIT_TURN_SPLICE  (1u << 20)

/* Datagrams. */
#define LIMIT_UDP_FLOWS (1u << 20) /* of one socket: what udp.flows may be set to */
#define LIMIT_DGRAM     65536      /* bytes; the longest payload of UDP over IPv4 has 65507 */

/* Sessions. */
#define LIMIT_IOV            16          /* buffers gathered in one send */
#define LIMIT_PROXY_V2_BYTES (16 + 4096) /* longest PROXY v2 header that is accepted */

/* Statistics. */
#define LIMIT_REASONS 96 /* codes for refused messages; the codecs of HTTP/1 have 35 */

/* HTTP. */
#define LIMIT_HTTP_FIELDS 1000 /* of a request's head; what limits.headers may be set to */

/* Receive windows of HTTP/2 that have grown: of one stream (a round trip of 100 ms at 1 Gbit/s are
 * 12 MiB), and of all of a worker's clients or backends beyond what each begins with. */
#define LIMIT_H2_WINDOW (16u << 20)
#define LIMIT_H2_GROWN  (64u << 20)

/* An upgraded connection whose one side has ended and whose other side says nothing: it gets less
 * time than `tunnel`, as many servers never notice that their peer has left. */
#define LIMIT_HALF_CLOSED_MS 30000

/* Health. */
#define LIMIT_CHECKS_IN_FLIGHT 256   /* at the same time; more wait for their turn */
#define LIMIT_CHECK_BODY       65536 /* bytes of an answer that are searched for `body` / `expect` */
#define LIMIT_CHECK_DESC       127   /* bytes of "what was seen" */

/* Stats socket. */
#define LIMIT_CTL_LINE     (16u << 10) /* bytes of a command line, as HAProxy's tune.bufsize */
#define LIMIT_CTL_CLIENTS  64
#define LIMIT_MAINT_REASON 127

#endif
