/* test_mistakes.c - a table of bad configurations, each with the exact lines that it is told. */
#include "tests/unit/lb/config/config_test.h"

struct mistake {
    const char *name; /* of the test: what is promised */
    const char *text;
    const char *says;
};

#define ERR(line, rest)    "t.conf:" #line ": error: " rest "\n"
#define QUOTE(line, text)  "      " #line " | " text "\n"
#define SYNTAX(line, rest) ERR(line, "syntax: " rest)
#define DURATION(from, to)                                                                         \
    ", expected a duration with its unit, from \"" from "\" to \"" to "\" (ms, s, m, h, d)"

/* clang-format off: a case reads as a case */
static const struct mistake mistakes[] = {
    /* ---- types and ranges ---- */
    {"a number below its range", "workers = -1;\n" POOL LISTENER,
     ERR(1, "workers: found -1, expected a whole number from 0 to 256")},
    {"a number above its range", "workers = 257;\n" POOL LISTENER,
     ERR(1, "workers: found 257, expected a whole number from 0 to 256")},
    {"a number that libconfig 1.5 would wrap to 1", "\nworkers = 4294967297;\n" POOL LISTENER,
     ERR(2, "workers: found 4294967297, expected a whole number from 0 to 256")},
    {"a hexadecimal number that wraps", "workers = 0x100000002;\n" POOL LISTENER,
     ERR(1, "workers: found 0x100000002, expected a whole number from 0 to 256")},
    {"a number beyond 64 bits", "workers = 9223372036854775808;\n" POOL LISTENER,
     SYNTAX(1, "found \"9223372036854775808\", expected a number that fits 64 bits")
         QUOTE(1, "workers = 9223372036854775808;")},
    {"a fraction for a whole number", "workers = 1.5;\n" POOL LISTENER,
     ERR(1, "workers: found 1.5, expected a whole number from 0 to 256")},
    {"a number in quotes", "workers = \"2\";\n" POOL LISTENER,
     ERR(1, "workers: found \"2\" (a string), expected a whole number from 0 to 256")},
    {"a number for a boolean", "pin = 1;\n" POOL LISTENER,
     ERR(1, "pin: found 1, expected true or false")},
    {"a boolean in quotes", "pin = \"true\";\n" POOL LISTENER,
     ERR(1, "pin: found \"true\", expected true or false")},
    {"a duration as a plain number", "timeouts = { connect = 5; };\n" POOL LISTENER,
     ERR(1, "timeouts.connect: found 5 (a number without a unit)" DURATION("1ms", "1h"))},
    {"a duration as a plain number in quotes", "timeouts = { connect = \"5\"; };\n" POOL LISTENER,
     ERR(1, "timeouts.connect: found \"5\" (a number without a unit)" DURATION("1ms", "1h"))},
    {"a duration with an unknown unit", "timeouts = { connect = \"5sec\"; };\n" POOL LISTENER,
     ERR(1, "timeouts.connect: found \"5sec\"" DURATION("1ms", "1h"))},
    {"a duration with a fraction", "timeouts = { connect = \"1.5s\"; };\n" POOL LISTENER,
     ERR(1, "timeouts.connect: found \"1.5s\"" DURATION("1ms", "1h"))},
    {"a duration below its range", "timeouts = { connect = \"0s\"; };\n" POOL LISTENER,
     ERR(1, "timeouts.connect: found \"0s\"" DURATION("1ms", "1h"))},
    {"a duration above its range", "timeouts = { connect = \"61m\"; };\n" POOL LISTENER,
     ERR(1, "timeouts.connect: found \"61m\"" DURATION("1ms", "1h"))},
    {"a duration beyond 64 bits",
     "timeouts = { connect = \"99999999999999999999h\"; };\n" POOL LISTENER,
     ERR(1, "timeouts.connect: found \"99999999999999999999h\"" DURATION("1ms", "1h"))},
    {"a negative duration", "timeouts = { connect = \"-5s\"; };\n" POOL LISTENER,
     ERR(1, "timeouts.connect: found \"-5s\"" DURATION("1ms", "1h"))},
    {"a percentage without its sign", POOL_WITH("health = { jitter = \"10\"; };") LISTENER,
     ERR(2,
         "pools[app].health.jitter: found \"10\", expected a percentage from \"0%\" to \"50%\"")},
    {"a handshake as a check in a pool without tls",
     POOL_WITH("health = { type = \"tls\"; };") LISTENER,
     ERR(2, "pools[app].health.type: found \"tls\" in a pool without tls, expected tls or "
            "health.tls beside it")},
    {"a percentage as a number", POOL_WITH("health = { jitter = 10; };") LISTENER,
     ERR(2, "pools[app].health.jitter: found 10 (a number without a unit), expected a percentage "
            "from \"0%\" to \"50%\"")},
    {"a percentage above its range", POOL_WITH("health = { jitter = \"51%\"; };") LISTENER,
     ERR(2,
         "pools[app].health.jitter: found \"51%\", expected a percentage from \"0%\" to \"50%\"")},
    {"a load bound that no backend could keep",
     POOL_WITH("balance = \"hash\"; hash = { load_bound = \"100%\"; };") LISTENER,
     ERR(2, "pools[app].hash.load_bound: found \"100%\", expected a percentage from \"101%\" to "
            "\"10000%\", or \"0\" for off")},
    {"a word that is none", "io = \"iouring\";\n" POOL LISTENER,
     ERR(1, "io: found \"iouring\", expected \"auto\", \"uring\" or \"epoll\" (did you mean "
            "\"uring\"?)")},
    {"a word nothing comes near to", "io = \"kqueue\";\n" POOL LISTENER,
     ERR(1, "io: found \"kqueue\", expected \"auto\", \"uring\" or \"epoll\"")},
    {"a file mode as a number", "stats = { socket = \"/a\"; mode = 660; };\n" POOL LISTENER,
     ERR(1,
         "stats.mode: found 660, expected an octal file mode in quotes, from \"000\" to \"777\"")},
    {"a file mode that is not octal",
     "stats = { socket = \"/a\"; mode = \"680\"; };\n" POOL LISTENER,
     ERR(1, "stats.mode: found \"680\", expected an octal file mode in quotes, from \"000\" to "
            "\"777\"")},
    {"a file mode beyond 777", "stats = { socket = \"/a\"; mode = \"4755\"; };\n" POOL LISTENER,
     ERR(1, "stats.mode: found \"4755\", expected an octal file mode in quotes, from \"000\" to "
            "\"777\"")},
    {"a group where a string is wanted", "io = { };\n" POOL LISTENER,
     ERR(1, "io: found a group, expected \"auto\", \"uring\" or \"epoll\"")},
    {"a string where a group is wanted", "log = \"info\";\n" POOL LISTENER,
     ERR(1, "log: found \"info\", expected a group: { name = value; ... }")},
    {"one group where a list of them is wanted",
     "pools = { name = \"app\"; mode = \"tcp\"; };\n" LISTENER,
     ERR(1, "pools: found a group, expected a list of groups: ( { ... }, { ... } )")
         ERR(2, "listeners[web].pool: found \"app\", which is no pool, expected the name of one")},
    {"a list element that is no group", "pools = ( \"app\" );\n" LISTENER,
     ERR(1, "pools[#1]: found \"app\", expected a group: { name = value; ... }")
         ERR(2, "listeners[web].pool: found \"app\", which is no pool, expected the name of one")},

    /* ---- names and required settings ---- */
    {"a setting that is not known, near to one", "limits = { conections = 1; };\n" POOL LISTENER,
     ERR(1, "limits.conections: found an unknown setting (did you mean \"connections\"?)")},
    {"a setting that belongs elsewhere", POOL_WITH("interval = \"1s\";") LISTENER,
     ERR(2, "pools[app].interval: found an unknown setting (did you mean "
            "\"pools.health.interval\"?)")},
    {"a setting that nothing comes near to", "drain = { zzzzzzzz = 1; };\n" POOL LISTENER,
     ERR(1, "drain.zzzzzzzz: found an unknown setting, expected delay or deadline")},
    {"an admin address of TLS without a certificate",
     "admin = { bind = \"127.0.0.1:1\"; tls = { }; };\n" POOL LISTENER,
     ERR(1, "admin.tls.certificates: not found, expected a group or a list of groups: "
            "( { ... }, { ... } )")},
    {"an admin address that asks for certificates of nobody",
     "admin = { bind = \"127.0.0.1:1\";\n tls = { certificates = { cert = \"a\"; key = \"a\"; "
     "}; verify = \"required\"; }; };\n" POOL LISTENER,
     ERR(2, "admin.tls.client_ca: not found beside verify = \"required\", expected the file with "
            "the authorities of clients")},
    {"an admin address with authorities of nobody",
     "admin = { bind = \"127.0.0.1:1\";\n tls = { certificates = { cert = \"a\"; key = \"a\"; "
     "}; client_ca = \"b\"; }; };\n" POOL LISTENER,
     ERR(2, "admin.tls.client_ca: found beside verify = \"off\", expected \"optional\" or "
            "\"required\" there")},
    {"a mode that is none",
     "pools = ( { name = \"app\"; mode = \"sctp\"; backends = ( { name = "
     "\"a\"; address = \"127.0.0.1:1\"; } ); } );\n" LISTENER,
     ERR(1, "pools[app].mode: found \"sctp\", expected \"http\", \"tcp\" or \"udp\"")},
    {"a protocol that is none", HTTP_POOL_WITH("protocol = \"fastcg\";") HTTP_LISTENER,
     ERR(2, "pools[app].protocol: found \"fastcg\", expected \"http1\", \"http2\", \"fastcgi\", "
            "\"uwsgi\" or \"scgi\" (did you mean \"fastcgi\"?)")},
    {"a root that is no folder",
     HTTP_POOL_WITH("protocol = \"fastcgi\";\n cgi = { root = \"srv/app\"; };") HTTP_LISTENER,
     ERR(3,
         "pools[app].cgi.root: found \"srv/app\", expected an absolute path that does not end in "
         "a slash")},
    {"a role that nobody is asked for",
     POOL_WITH("health = { type = \"postgres\";\n role = \"primary\"; };") LISTENER,
     ERR(3, "pools[app].health.role: found without health.user, expected one: the role is told to "
            "users only")},
    {"TLS for a check without a connection",
     POOL_WITH("health = { type = \"none\";\n tls = true; };") LISTENER,
     ERR(3, "pools[app].health.tls: found beside health.type = \"none\", expected a type that "
            "speaks over a connection")},
    {"a hash key that tcp does not have",
     POOL_WITH("balance = \"hash\"; hash = { key = \"uri\"; };") LISTENER,
     ERR(2, "pools[app].hash.key: found a key of requests, expected \"source\" in mode \"tcp\"")},
    {"a missing mode",
     POOL "listeners = (\n { name = \"web\"; bind = \"127.0.0.1:80\"; pool = \"app\"; } );",
     ERR(3, "listeners[web].mode: not found, expected \"http\", \"tcp\" or \"udp\"")},
    {"a missing name",
     POOL "listeners = (\n { mode = \"tcp\"; bind = \"127.0.0.1:80\"; pool = \"app\"; } );",
     ERR(3,
         "listeners[#1].name: not found, expected a name of 1 to 63 letters, digits and _ - . :")},
    {"no listeners at all", POOL,
     ERR(1, "listeners: not found, expected a list of groups: ( { ... }, { ... } )")},
    {"an empty list of backends",
     "pools = ( { name = \"app\"; mode = \"tcp\";\n backends = (); } );\n" LISTENER,
     ERR(2, "pools[app].backends: found 0 groups, expected 1 to 65536")},
    {"a name with a blank",
     POOL "listeners = ( { name = \"we b\"; mode = \"tcp\"; bind = \"127.0.0.1:80\"; pool = "
          "\"app\"; } );",
     ERR(2, "listeners[#1].name: found \"we b\", expected a name of 1 to 63 letters, digits and _ "
            "- . :")},
    {"a name of 64 bytes",
     POOL
     "listeners = ( { name = "
     "\"0123456789012345678901234567890123456789012345678901234567890123\"; mode = \"tcp\"; bind = "
     "\"127.0.0.1:80\"; pool = \"app\"; } );",
     ERR(2, "listeners[#1].name: found "
            "\"0123456789012345678901234567890123456789012345678901234567890123\" (64 bytes), "
            "expected "
            "a name of 1 to 63 letters, digits and _ - . :")},
    {"a backend called like a whole pool",
     "pools = ( { name = \"app\"; mode = \"tcp\"; backends = (\n"
     "{ name = \"BACKEND\"; address = \"127.0.0.1:1\"; } ); } );\n" LISTENER,
     ERR(2, "pools[app].backends[BACKEND].name: found \"BACKEND\" (the stats socket uses this word "
            "for "
            "whole listeners and pools), expected a name of 1 to 63 letters, digits and _ - . :")},
    {"a user that does not exist", "user = \"no-such-user-here\";\n" POOL LISTENER,
     ERR(1, "user: found \"no-such-user-here\", expected the name of a user of this system")},

    /* ---- addresses and texts ---- */
    {"a backend address with port 0", BACKEND_WITH("address = \"app.internal:0\";") LISTENER, NULL},
    {"a bind by name", POOL LISTENER_WITH("bind = \"localhost:80\";"), NULL},
    {"a bind to port 65536", POOL LISTENER_WITH("bind = \"127.0.0.1:65536\";"), NULL},
    {"a stats socket without its slash", "stats = { socket = \"stats.sock\"; };\n" POOL LISTENER,
     ERR(1, "stats.socket: found \"stats.sock\", expected an absolute path of at most 107 bytes")},
    {"a stats socket that the system cannot hold",
     "stats = { socket = \"/0123456789012345678901234567890123456789012345678901234567890123456789"
     "0123456789012345678901234567890123456\"; };\n" POOL LISTENER,
     ERR(1, "stats.socket: found \"/012345678901234567890123456789012345678901234567890123456789"
            "01234567890123456789012345678901234567890123456\" (it has 108 bytes, the system takes "
            "107), "
            "expected an absolute path of at most 107 bytes")},
    {"a log target that is none", "log = { output = \"file\"; };\n" POOL LISTENER,
     ERR(1, "log.output: found \"file\", expected \"stdout\", \"stderr\", \"off\", \"/a/path\" or "
            "\"syslog:ADDRESS\"")},
    {"a syslog address by name", "log = { output = \"syslog:loghost\"; };\n" POOL LISTENER,
     ERR(1, "log.output: found \"syslog:loghost\" (ADDRESS is IP, IP:PORT or unix:/path), expected "
            "\"stdout\", \"stderr\", \"off\", \"/a/path\" or \"syslog:ADDRESS\"")},
    {"a log format without a variable", "log = { format = \"tcplgo\"; };\n" POOL LISTENER,
     ERR(1, "log.format: found \"tcplgo\", expected \"combined\", \"httplog\", \"tcplog\", "
            "\"json\" or a template with $variables")},
    {"a request line smuggled into a check's path",
     POOL_WITH("health = { type = \"http\"; path = \"/ HTTP/1.1\\r\\nX: y\"; };") LISTENER,
     ERR(2,
         "pools[app].health.path: found \"/ HTTP/1.1\\r\\nX: y\", expected a path that begins with "
         "\"/\" and has no blanks")},
    {"a status above the range",
     POOL_WITH("health = { type = \"http\"; status = \"200-600\"; };") LISTENER,
     ERR(2, "pools[app].health.status: found \"200-600\", expected status codes from 100 to 599 "
            "such as "
            "\"200-399\" or \"200,204\"")},
    {"a status range upside down",
     POOL_WITH("health = { type = \"http\"; status = \"399-200\"; };") LISTENER,
     ERR(2, "pools[app].health.status: found \"399-200\", expected status codes from 100 to 599 "
            "such as "
            "\"200-399\" or \"200,204\"")},
    {"an empty status", POOL_WITH("health = { type = \"http\"; status = \"\"; };") LISTENER,
     ERR(2, "pools[app].health.status: found \"\", expected status codes from 100 to 599 such as "
            "\"200-399\" or \"200,204\"")},
    {"rise of zero", POOL_WITH("health = { rise = 0; };") LISTENER,
     ERR(2, "pools[app].health.rise: found 0, expected a whole number from 1 to 1000")},

    /* ---- the environment ---- */
    {"a variable that is not set", "io = \"${T_NOT_SET}\";\n" POOL LISTENER,
     ERR(1, "io: found \"${T_NOT_SET}\", which the environment does not have, expected it set or "
            "with a "
            "default: \"${T_NOT_SET:-default}\"")},
    {"a variable in lower case", "io = \"${home}\";\n" POOL LISTENER,
     ERR(1, "io: found \"${home}\", expected \"${NAME}\" or \"${NAME:-default}\" in upper case for "
            "the "
            "environment")},
    {"a variable without its brace", "io = \"${HOME\";\n" POOL LISTENER,
     ERR(1, "io: found \"${\" without its \"}\", expected \"${NAME}\" (a dollar is written $$)")},
    {"a session's variable outside of a log format", "io = \"a$client!\";\n" POOL LISTENER,
     ERR(1, "io: found \"$client\", but variables of requests and sessions can be used in log "
            "formats, redirects, answers, rewrites and header values only, expected "
            "\"${NAME}\" for the environment (a dollar is written $$)")},
    {"a variable that is no number", "workers = \"${T_NOT_SET:-many}\";\n" POOL LISTENER,
     ERR(1, "workers: found \"many\", expected a whole number from 0 to 256")},

    /* ---- libconfig's traps ---- */
    {"strings of an array that libconfig joins",
     POOL LISTENER_WITH("bind = [ \"127.0.0.1:80\"\n \"127.0.0.1:81\" ];"),
     ERR(3,
         "listeners[web].bind: found 2 strings next to each other, expected \",\" between them")},
    {"the last string of an array, which libconfig puts on the next line",
     POOL LISTENER_WITH("bind = [ \"127.0.0.1:80\",\n \"nonsense:x\"\n\n ];"), NULL},
    {"a number with a leading zero", "workers = 010;\n" POOL LISTENER,
     SYNTAX(1, "found the number 010, expected it without leading zeros (a file mode is a string: "
               "\"660\")") QUOTE(1, "workers = 010;")},

    /* ---- syntax, one at a time ---- */
    {"a missing comma between groups", "pools = (\n { name = \"a\"; }\n { name = \"b\"; }\n);\n",
     SYNTAX(3, "found \"{\", expected \",\" or \")\" (is a comma missing between two elements?)")
         QUOTE(3, " { name = \"b\"; }")},
    {"a trailing comma", "pools = (\n { name = \"a\"; },\n);\n",
     SYNTAX(
         2,
         "found \",\" before \")\", expected another element (the last one of a list has no comma "
         "behind it)") QUOTE(2, " { name = \"a\"; },")},
    {"a name set twice", "workers = 1;\nio = \"auto\";\nworkers = 2;\n",
     SYNTAX(3, "found \"workers\" a second time in one group, expected it once (first on line 1)")
         QUOTE(3, "workers = 2;")},
    {"text without quotes", "io = auto;\n",
     SYNTAX(
         1,
         "found \"auto\", expected a value (text, and numbers with a unit, stand in double quotes)")
         QUOTE(1, "io = auto;")},
    {"a unit without quotes", "timeouts = { connect = 5s; };\n",
     SYNTAX(
         1,
         "found \"5s\", expected a value (text, and numbers with a unit, stand in double quotes)")
         QUOTE(1, "timeouts = { connect = 5s; };")},
    {"an address without quotes", "bind = 127.0.0.1:80;\n",
     SYNTAX(
         1,
         "found \"127.0.0.1:80\", expected a value (text, and numbers with a unit, stand in double "
         "quotes)") QUOTE(1, "bind = 127.0.0.1:80;")},
    {"a string without its end", "io = \"auto;\npin = true;\n",
     SYNTAX(
         1,
         "found a string that does not end on its line, expected a closing \" (a line break within "
         "a string is written \\n)") QUOTE(1, "io = \"auto;")},
    {"a group without its end", "log = {\n level = \"info\";\n",
     SYNTAX(2, "found the end, expected a setting or \"}\" for the group opened on line 1")
         QUOTE(2, " level = \"info\";")},
    {"a list without its end", "pools = (\n { }\n",
     SYNTAX(2, "found the end, expected \")\" for the list opened on line 1") QUOTE(2, " { }")},
    {"a brace too many", "pin = true;\n};\n",
     SYNTAX(2, "found \"}\", but no group is open here (one \"}\" too many?)") QUOTE(2, "};")},
    {"a missing equals sign", "workers 5;\n",
     SYNTAX(1, "found \"5\" after the name workers, expected \"=\"") QUOTE(1, "workers 5;")},
    {"a missing value", "workers = ;\n",
     SYNTAX(1, "found \";\", expected a value") QUOTE(1, "workers = ;")},
    {"a second semicolon", "workers = 1;;\n",
     SYNTAX(1, "found a second \";\" behind one setting, expected one") QUOTE(1, "workers = 1;;")},
    {"a setting in a list", "pools = ( name = \"a\" );\n",
     SYNTAX(
         1,
         "found \"name\" in a list, expected a value (settings of one element are written { name = "
         "value; }, strings in double quotes)") QUOTE(1, "pools = ( name = \"a\" );")},
    {"several types in an array", "bind = [ \"a\", 1 ];\n",
     SYNTAX(1,
            "found values of several types in an array, expected one type (and no groups or lists; "
            "those are elements of a list in round brackets)") QUOTE(1, "bind = [ \"a\", 1 ];")},
    {"an escape that libconfig would keep", "io = \"\\d\";\n",
     SYNTAX(1, "found the escape \"\\d\", expected one of \\n \\r \\t \\f \\\" \\\\ \\xHH (a "
               "backslash is "
               "written \\\\)") QUOTE(1, "io = \"\\d\";")},
    {"a comment without its end", "pin = true;\n/* and so on\n",
     SYNTAX(2, "found a comment that never ends, expected \"*/\"") QUOTE(2, "/* and so on")},
    {"groups deeper than any setting",
     "q = {a = {a = {a = {a = {a = {a = {a = {a = {a = {a = {a = {a = {a = {a = {a = {a = "
     "1;}}}}}}}}}}}}}}}};\n",
     ERR(1, "q: found an unknown setting, expected workers, io, pin, user, group, "
            "state_file, state_max_age, encoded_slash, overlay, "
            "hardening, stats, admin, log, drain, limits, resolver, timeouts, pools, listeners or "
            "tests")
         ERR(1, "listeners: not found, expected a list of groups: ( { ... }, { ... } )")},
    {"groups one deeper than that",
     "a = {a = {a = {a = {a = {a = {a = {a = {a = {a = {a = {a = {a = {a = {a = {a = {a = "
     "{};}}}}}}}}}}}}}}}};\n",
     SYNTAX(1, "found groups and lists 17 deep, expected fewer")
         QUOTE(1, "a = {a = {a = {a = {a = {a = {a = {a = {a = {a = {a = {a = {a = {a = {a = {a = "
                  "{a = {};}}}}}}}}}}}}}}}};")},
    {"an include in a text without a file", "\n@include \"/etc/passwd\"\n" POOL LISTENER,
     ERR(2, "@include: found in a text without a file, where nothing can be included")
         QUOTE(2, "@include \"/etc/passwd\"")},
    {"an include in a string over two lines", "io = \"\n@include \"/etc/passwd\"\n\";\n",
     ERR(2, "@include: found in a text without a file, where nothing can be included")
         QUOTE(2, "@include \"/etc/passwd\"")},

    /* ---- what no single setting shows ---- */
    {"a pool's name used twice",
     "pools = ( { name = \"app\"; mode = \"tcp\"; backends = ( { name = \"a\"; "
     "address = \"127.0.0.1:1\"; } ); },\n { name = \"app\"; mode = \"tcp\"; backends = ( { name = "
     "\"a\"; "
     "address = \"127.0.0.1:1\"; } ); } );\n" LISTENER,
     ERR(2, "pools[app].name: found \"app\" a second time, expected a name of its own (first at "
            "t.conf:1)")},
    {"a backend's name used twice",
     "pools = ( { name = \"app\"; mode = \"tcp\"; backends = (\n{ name = \"a\"; "
     "address = \"127.0.0.1:1\"; },\n { name = \"b\"; address = \"127.0.0.1:2\"; },\n { name = "
     "\"a\"; address = "
     "\"127.0.0.1:3\"; } ); } );\n" LISTENER,
     ERR(4, "pools[app].backends[a].name: found \"a\" a second time, expected a name of its own "
            "(first at "
            "t.conf:2)")},
    {"a listener's name used twice",
     POOL "listeners = ( { name = \"web\"; mode = \"tcp\"; bind = "
          "\"127.0.0.1:80\"; pool = \"app\"; },\n { name = \"web\"; mode = \"tcp\"; bind = "
          "\"127.0.0.1:81\"; pool = "
          "\"app\"; } );\n",
     ERR(3, "listeners[web].name: found \"web\" a second time, expected a name of its own (first "
            "at t.conf:2)")},
    {"a pool that is not there",
     POOL "listeners = ( { name = \"web\"; mode = \"tcp\"; bind = "
          "\"127.0.0.1:80\";\n pool = \"ap\"; } );\n",
     ERR(3, "listeners[web].pool: found \"ap\", which is no pool, expected the name of one (did "
            "you mean "
            "\"app\"?)")},
    {"one address in two listeners",
     POOL "listeners = ( { name = \"a\"; mode = \"tcp\"; bind = "
          "\"127.0.0.1:80\"; pool = \"app\"; },\n { name = \"b\"; mode = \"tcp\"; bind = "
          "\"127.0.0.1:80\"; pool = "
          "\"app\"; } );\n",
     ERR(3,
         "listeners[b].bind: found \"127.0.0.1:80\", expected an address of its own (listeners a "
         "\"127.0.0.1:80\" at t.conf:2 has the same)")},
    {"one address twice in a listener",
     POOL LISTENER_WITH("bind = [ \"127.0.0.1:80\",\n \"127.0.0.1:80\" ];"),
     ERR(4, "listeners[web].bind: found \"127.0.0.1:80\", expected an address of its own "
            "(listeners web "
            "\"127.0.0.1:80\" at t.conf:3 has the same)")},
    {"an address that a wildcard covers",
     POOL LISTENER_WITH("bind = [ \"*:80\", \"[::1]:80\",\n \"127.0.0.1:80\" ];"),
     ERR(4, "listeners[web].bind: found \"127.0.0.1:80\", expected an address of its own "
            "(listeners web "
            "\"*:80\" at t.conf:3 covers it)")},
    {"a wildcard that covers an address before it",
     POOL LISTENER_WITH("bind = [ \"[::1]:80\",\n \"[::]:80\" ];"),
     ERR(4, "listeners[web].bind: found \"[::]:80\", expected an address of its own (listeners web "
            "\"[::1]:80\" at t.conf:3 is covered by it)")},
    {"a unix socket of a listener and the stats",
     "stats = { socket = \"/run/s\"; };\n" POOL LISTENER_WITH("bind = \"unix:/run/s\";"),
     ERR(4, "listeners[web].bind: found \"unix:/run/s\", expected an address of its own (stats "
            "\"/run/s\" at "
            "t.conf:1 has the same)")},
    {"one socket of two stats groups",
     "stats = ( { socket = \"/run/s\"; },\n { socket = \"/run/s\"; } );\n" POOL LISTENER,
     ERR(2, "stats.socket: found \"/run/s\", expected an address of its own (stats \"/run/s\" at "
            "t.conf:1 has "
            "the same)")},
    {"a backend that is its own listener", BACKEND_WITH("address = \"127.0.0.1:8080\";") LISTENER,
     ERR(4,
         "listeners[web].pool: found \"app\", whose backend \"a\" is this listener's own address "
         "127.0.0.1:8080, expected another")},
    {"a backend that a wildcard of its listener covers",
     BACKEND_WITH("address = \"127.0.0.2:80\";") LISTENER_WITH("bind = \"0.0.0.0:80\";"),
     ERR(4,
         "listeners[web].pool: found \"app\", whose backend \"a\" is this listener's own address "
         "0.0.0.0:80, expected another")},
    {"proxy_from without proxy_protocol",
     POOL LISTENER_WITH("bind = \"127.0.0.1:80\"; proxy_from = [ \"10.0.0.0/8\" ];"),
     ERR(3, "listeners[web].proxy_from: found networks, but proxy_protocol is \"off\", expected "
            "\"v1\", \"v2\" "
            "or \"any\" there")},
    {"a delay beyond the deadline", "drain = {\n delay = \"26s\"; };\n" POOL LISTENER,
     ERR(2, "drain.delay: found \"26s\", expected at most drain.deadline, which is \"25s\"")},
    {"a body of a HEAD",
     POOL_WITH("health = { type = \"http\"; method = \"HEAD\";\n body = \"x\"; };") LISTENER,
     ERR(3, "pools[app].health.body: found beside method = \"HEAD\", expected a method whose "
            "answer has a body")},

    /* ---- all at once ---- */
    {"many mistakes are told together, in the order of the file",
     "workers = 300;\ndrain = { dealy = \"1s\"; };\nlisteners = (\n { name = \"web\"; mode = "
     "\"tcp\";\n"
     "   bind = \"127.0.0.1:80\"; pool = \"ap\"; }\n);\npools = (\n { name = \"app\"; mode = "
     "\"tpc\"; backends "
     "= (\n  { name = \"a\"; address = \"127.0.0.1:1\"; weight = 1000; },\n  { name = \"a\"; "
     "address = "
     "\"127.0.0.1:2\"; }\n ); }\n);\n",
     ERR(1, "workers: found 300, expected a whole number from 0 to 256")
         ERR(2, "drain.dealy: found an unknown setting (did you mean \"delay\"?)") ERR(
             5,
             "listeners[web].pool: found \"ap\", which is no pool, expected the name of one "
             "(did you mean \"app\"?)") ERR(8,
                                            "pools[app].mode: found \"tpc\", expected "
                                            "\"http\", \"tcp\" or \"udp\" (did you mean \"tcp\"?)")
             ERR(9,
                 "pools[app].backends[a].weight: found 1000, expected a whole number from 0 to 256")
                 ERR(10, "pools[app].backends[a].name: found \"a\" a second time, expected a name "
                         "of its own (first at "
                         "t.conf:9)")},
};

#define WARN(line, rest) "t.conf:" #line ": warning: " rest "\n"
static const struct mistake warnings[] = {
    {"warning: weights that are all 0",
     BACKEND_WITH("address = \"127.0.0.1:1\"; weight = 0;") LISTENER,
     WARN(1, "pools[app].backends: all backends have weight 0, so none gets a connection")},
    {"warning: hash settings without hash",
     POOL_WITH("hash = {\n load_bound = \"125%\"; };") LISTENER,
     WARN(3, "pools[app].hash.load_bound: found \"125%\", which has no effect without balance = "
             "\"hash\"")},
    {"warning: a script without fastcgi",
     HTTP_POOL_WITH("protocol = \"uwsgi\";\n cgi = { script = \"/index.php\"; };") HTTP_LISTENER,
     WARN(3, "pools[app].cgi.script: found \"/index.php\", which has no effect without protocol = "
             "\"fastcgi\"")},
    {"warning: reuse with scgi",
     HTTP_POOL_WITH("protocol = \"scgi\";\n reuse = \"always\";") HTTP_LISTENER,
     WARN(3, "pools[app].reuse: has no effect: a connection in this protocol carries one request")},
    {"warning: a role that no check knows",
     POOL_WITH("health = { type = \"tcp\"; role = \"primary\"; };") LISTENER,
     WARN(2, "pools[app].health.role: found \"primary\", which has no effect without health.type = "
             "\"postgres\", \"mysql\" or \"redis\"")},
    {"warning: a way to begin TLS where there is none",
     POOL_WITH("health = { type = \"smtp\";\n starttls = false; };") LISTENER,
     WARN(3, "pools[app].health.starttls: found false, which has no effect without health.type = "
             "\"postgres\", \"mysql\" or \"smtp\", and health.tls in a pool without tls")},
    {"warning: a path that no check asks for", POOL_WITH("health = { path = \"/x\"; };") LISTENER,
     WARN(2, "pools[app].health.path: found \"/x\", which has no effect without health.type = "
             "\"http\", \"fastcgi\", \"uwsgi\" or \"scgi\"")},
    {"warning: bytes that no check sends",
     POOL_WITH("health = { type = \"http\"; send = \"x\"; };") LISTENER,
     WARN(2, "pools[app].health.send: found \"x\", which has no effect without health.type = "
             "\"tcp\" or \"udp\"")},
    {"warning: a port that no check uses",
     POOL_WITH("health = { type = \"none\"; port = 9; };") LISTENER,
     WARN(2, "pools[app].health.port: found 9, which has no effect without a health.type other "
             "than \"none\"")},
    {"warning: a pool that nobody uses",
     "pools = ( { name = \"app\"; mode = \"tcp\"; backends = ( { name = \"a\"; "
     "address = \"127.0.0.1:1\"; } ); },\n { name = \"old\"; mode = \"tcp\"; backends = ( { name = "
     "\"a\"; address = "
     "\"127.0.0.1:1\"; } ); } );\n" LISTENER,
     WARN(2, "pools[old].name: no listener uses this pool")},
    {"warning: a limit above the process's",
     "limits = { connections = 5; };\n" POOL LISTENER_WITH(
         "bind = \"127.0.0.1:80\"; limits = { connections = 6; };"),
     WARN(4, "listeners[web].limits.connections: found 6, which is never reached: the process has "
             "limits.connections = 5")},
    {"warning: more per source than in all",
     POOL LISTENER_WITH("bind = \"127.0.0.1:80\"; limits = { connections = 5; per_source = 6; };"),
     WARN(3, "listeners[web].limits.per_source: found 6, which is never reached: the listener has "
             "limits.connections = 5")},
};
/* clang-format on */

static void is_refused(void **state)
{
    const struct mistake *m = *state;
    struct strbuf errors = {0};

    if (m->says != NULL) {
        assert_says(m->text, false, m->says);
        return;
    }
    /* The words are the address parser's own, so only the frame is looked at. */
    struct conf *conf = conf_load_text("t.conf", m->text, &errors);
    assert_null(conf);
    assert_int_equal(strncmp(errors.p, "t.conf:", 7), 0);
    assert_non_null(strstr(errors.p, ": error: "));
    assert_non_null(strstr(errors.p, ": found \""));
    assert_non_null(strstr(errors.p, ", expected "));
    assert_ptr_equal(strchr(errors.p, '\n'), errors.p + errors.len - 1);
    strbuf_fini(&errors);
}

static void is_warned_of(void **state)
{
    const struct mistake *m = *state;

    assert_says(m->text, true, m->says);
}

static void the_last_string_of_an_array_has_its_own_line(void **state)
{
    (void)state;
    struct strbuf errors = {0};

    assert_null(conf_load_text(
        "t.conf", POOL LISTENER_WITH("bind = [ \"127.0.0.1:80\",\n \"nonsense\"\n\n ];"), &errors));
    assert_int_equal(
        strncmp(errors.p, "t.conf:4: error: listeners[web].bind: found \"nonsense\"", 53), 0);
    strbuf_fini(&errors);
}

static void a_message_never_holds_control_bytes_of_the_file(void **state)
{
    (void)state;
    assert_says("io = \"a\\x1b[31m\";\n" POOL LISTENER, false,
                ERR(1, "io: found \"a\\x1b[31m\", expected \"auto\", \"uring\" or \"epoll\""));
    assert_says("io = \x1b[31m;\n", false,
                SYNTAX(1,
                       "found \"\\x1b\", expected a value (text, and numbers with a unit, stand in "
                       "double quotes)") QUOTE(1, "io = .[31m;"));
}

static void at_most_a_thousand_mistakes_are_told(void **state)
{
    (void)state;
    struct strbuf text = {0}, errors = {0};

    strbuf_add_cstr(&text, "pools = (\n");
    for (int i = 0; i < 600; i++)
        strbuf_addf(&text, "%s{ name = \"p%d\"; }\n", i > 0 ? "," : "", i);
    strbuf_add_cstr(&text, ");\n" LISTENER);
    assert_null(conf_load_text("t.conf", text.p, &errors));
    assert_non_null(strstr(errors.p, "only the first 1000 problems are shown\n"));
    strbuf_fini(&text);
    strbuf_fini(&errors);
}

static void a_file_that_is_not_there_is_named(void **state)
{
    (void)state;
    struct strbuf errors = {0};

    assert_null(conf_load("/nonexistent/x.conf", &errors));
    assert_string_equal(errors.p,
                        "/nonexistent/x.conf: error: cannot be read: No such file or directory\n");
    strbuf_fini(&errors);
}

int main(void)
{
    enum { N = sizeof(mistakes) / sizeof(*mistakes), W = sizeof(warnings) / sizeof(*warnings) };
    const struct CMUnitTest more[] = {
        cmocka_unit_test(the_last_string_of_an_array_has_its_own_line),
        cmocka_unit_test(a_message_never_holds_control_bytes_of_the_file),
        cmocka_unit_test(at_most_a_thousand_mistakes_are_told),
        cmocka_unit_test(a_file_that_is_not_there_is_named),
    };
    enum { M = sizeof(more) / sizeof(*more) };
    struct CMUnitTest tests[N + W + M];

    for (size_t i = 0; i < N; i++)
        tests[i] = (struct CMUnitTest){mistakes[i].name, is_refused, NULL, NULL,
                                       (void *)(uintptr_t)&mistakes[i]};
    for (size_t i = 0; i < W; i++)
        tests[N + i] = (struct CMUnitTest){warnings[i].name, is_warned_of, NULL, NULL,
                                           (void *)(uintptr_t)&warnings[i]};
    memcpy(tests + N + W, more, sizeof(more));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
