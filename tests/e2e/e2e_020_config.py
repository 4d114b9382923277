"""The configuration: all mistakes at once, each with file, line, setting, found and expected."""

import re

from harness import *

GOOD = """pools = ( { name = "app"; mode = "tcp"; backends = ( { name = "a"; address = "127.0.0.1:3001"; } ); } );
listeners = ( { name = "front"; mode = "tcp"; bind = "127.0.0.1:8080"; pool = "app"; } );
"""


def conf(t, text, name="test.conf"):
    path = t.path(name)
    with open(path, "w") as f:
        f.write(text)
    return path


def errors_of(t, text, env=None):
    """Lines of the errors of a bad configuration, checked by -t and by running it."""
    path = conf(t, text)
    status, out, err = t.run("-t", "-c", path, env=env or {})
    check_eq(status, 1, "status of -t; " + err)
    run_status, _, run_err = t.run("-c", path, env=env or {})
    check_eq(run_status, 1, "status of a run; " + run_err)
    lines = [line for line in err.splitlines() if "error:" in line]
    check(lines, "errors are said", err)
    for line in lines:
        check_match(r"^%s:\d+: error: " % re_escape(path), line, "form of an error")
    return lines


def re_escape(text):
    import re
    return re.escape(text)


def one_error(t, text, line, *parts, **kw):
    lines = errors_of(t, text, **kw)
    check_eq(len(lines), 1, "number of errors: %r" % lines)
    check_match(r":%d: error:" % line, lines[0], "line number")
    for part in parts:
        check_match(part, lines[0], "error")


def test_a_good_file_passes(t):
    status, out, err = t.run("-t", "-c", conf(t, GOOD))
    check_eq(status, 0, err)


def test_the_effective_configuration_is_a_configuration(t):
    status, out, err = t.run("-T", "-c", conf(t, GOOD))
    check_eq(status, 0, err)
    for setting in ("workers", "interval", "queue", "round_robin", "drain"):
        check_in(setting, out)
    status, again, err = t.run("-T", "-c", conf(t, out, "again.conf"))
    check_eq(status, 0, err)
    check_eq(again, out, "-T of what -T printed")


def test_checking_binds_nothing_and_asks_no_dns(t):
    s, front = t.simple([t.backend(named)])  # has the port
    text = GOOD.replace("127.0.0.1:8080", where(front)).replace("127.0.0.1:3001",
                                                                "no-such-name.invalid:80")
    status, out, err = t.run("-t", "-c", conf(t, text))
    check_eq(status, 0, err)


def test_unknown_settings_are_errors_with_a_proposal(t):
    one_error(t, GOOD + 'worker = 2;\n', 3, "worker", 'did you mean "workers"')


def test_unknown_settings_inside_a_pool(t):
    one_error(t, GOOD.replace('mode = "tcp"; backends', 'balanec = "hash"; mode = "tcp"; backends'), 1,
              "balanec", 'did you mean "balance"')


def test_wrong_values_say_what_is_expected(t):
    one_error(t, GOOD.replace('mode = "tcp"; backends', 'balance = "leastconn"; mode = "tcp"; backends'),
              1, "leastconn", "round_robin", "least_connections")


def test_wrong_types_are_errors(t):
    one_error(t, GOOD + 'workers = "many";\n', 3, "workers", "many")


def test_durations_need_units(t):
    one_error(t, GOOD + 'timeouts = { connect = 5; };\n', 3, "connect", "5s|unit|duration")


def test_numbers_out_of_range(t):
    one_error(t, GOOD.replace('127.0.0.1:3001";', '127.0.0.1:3001"; weight = 257;'), 1, "weight",
              "257", "256")


def test_integers_that_would_wrap_are_errors(t):
    one_error(t, GOOD + "workers = 4294967297;\n", 3, "workers", "4294967297")


def test_bad_addresses(t):
    for bad in ("127.0.0.1", "127.0.0.1:99999", "[::1:80", "unix:", ":::80"):
        one_error(t, GOOD.replace("127.0.0.1:3001", bad), 1, "address")


def test_unknown_pool_with_a_proposal(t):
    one_error(t, GOOD.replace('pool = "app"', 'pool = "apq"'), 2, "pool", "apq",
              'did you mean "app"')


def test_duplicate_names(t):
    text = """pools = ( { name = "app"; mode = "tcp"; backends = (
  { name = "a"; address = "127.0.0.1:3001"; },
  { name = "a"; address = "127.0.0.1:3002"; } ); } );
listeners = ( { name = "front"; mode = "tcp"; bind = "127.0.0.1:8080"; pool = "app"; } );
"""
    one_error(t, text, 3, '"a"')


def test_two_listeners_on_one_address(t):
    text = GOOD.replace("pool = \"app\"; } );", """pool = "app"; },
  { name = "second"; mode = "tcp"; bind = "127.0.0.1:8080"; pool = "app"; } );""")
    one_error(t, text, 3, "127.0.0.1:8080")


def test_all_mistakes_are_reported_together(t):
    text = """workrs = 3;
timeouts = { connect = "5 parsecs"; };
pools = ( { name = "app"; mode = "tcp"; balance = "luck";
  backends = ( { name = "a"; address = "nowhere"; } ); } );
listeners = ( { name = "front"; mode = "tcp"; bind = "127.0.0.1:8080"; pool = "none"; } );
"""
    lines = errors_of(t, text)
    for n in (1, 2, 3, 4, 5):
        check(any(":%d: error" % n in line for line in lines), "an error of line", n, lines)


def test_syntax_errors_say_the_line(t):
    lines = errors_of(t, GOOD + "workers = ;\n")
    check_match(":3: error", lines[0])


def test_a_forgotten_comma_is_named_as_the_likely_cause(t):
    text = """pools = ( { name = "app"; mode = "tcp"; backends = (
  { name = "a"; address = "127.0.0.1:3001"; }
  { name = "b"; address = "127.0.0.1:3002"; } ); } );
"""
    lines = errors_of(t, text)
    check_match("comma", lines[0])


def test_a_setting_twice_is_an_error(t):
    lines = errors_of(t, "workers = 1;\nworkers = 2;\n" + GOOD)
    check_match(":2: error", lines[0])
    check_match("workers", lines[0])


def test_environment_is_substituted_in_strings_only_and_cannot_end_one(t):
    text = GOOD.replace("127.0.0.1:3001", "${ADDR}")
    one_error(t, text, 1, "ADDR")  # unset
    status, out, err = t.run("-T", "-c", conf(t, text), env={"ADDR": "127.0.0.1:3999"})
    check_eq(status, 0, err)
    check_in("127.0.0.1:3999", out)
    one_error(t, text, 1, "address", env={"ADDR": '1.2.3.4:5"; weight = 3; x = "'})
    status, out, err = t.run("-T", "-c", conf(t, GOOD.replace("127.0.0.1:3001",
                                                              "${NONE:-127.0.0.1:3998}")))
    check_eq(status, 0, err)
    check_in("127.0.0.1:3998", out)


def test_environment_gives_numbers_where_numbers_are_wanted(t):
    status, out, err = t.run("-T", "-c", conf(t, GOOD + 'workers = "${W}";\n'), env={"W": "3"})
    check_eq(status, 0, err)
    check_match(r"workers\s*=\s*3\b", out)


def test_includes_are_relative_to_the_main_file(t):
    conf(t, 'workers = 3;\n', "part.conf")
    status, out, err = t.run("-T", "-c", conf(t, GOOD + '@include "part.conf"\n'))
    check_eq(status, 0, err)
    check_match(r"workers\s*=\s*3\b", out)


def test_errors_in_an_included_file_name_that_file(t):
    conf(t, "\nworkers = \"x\";\n", "part.conf")
    status, out, err = t.run("-t", "-c", conf(t, GOOD + '@include "part.conf"\n'))
    check_eq(status, 1)
    check_match(r"part\.conf:2: error: workers", err)


def test_garbage_never_crashes(t):
    for text in ("", "{", "(((((", "\0\0\0", "a" * 100000, "x = (" * 2000, '"', "@include", "#",
                 "@include \"test.conf\"\n", "pools = 1;", "pools = ( 1, 2 );", "listeners = { };"):
        path = conf(t, text)
        status, out, err = t.run("-t", "-c", path)
        check(status in (0, 1), "status for garbage", text[:20], status, err)
        if status:
            check(err.strip(), "an error is said for", text[:20])


HTTP = """
pools = ( { name = "app"; mode = "http"; backends = ( { name = "a"; address = "127.0.0.1:3001"; } ); } );
listeners = ( { name = "web"; mode = "http"; bind = "127.0.0.1:8080"; routes = (
    { host = "api.example"; path = "/v1/"; pool = "app"; },
    { path = "/old"; redirect = { to = "/new"; status = 308; }; } ); } );
tests = ( { request = "GET http://api.example/v1/x"; expect = { pool = "app"; }; },
          { request = "GET http://h/old"; expect = { location = "%s"; }; } );
"""


def test_the_tests_of_a_configuration_are_run_by_t(t):
    status, out, err = t.run("-t", "-c", conf(t, HTTP % "/new"))
    check_eq(status, 0, err)
    status, out, err = t.run("-t", "-c", conf(t, HTTP % "/elsewhere"))
    check_eq(status, 1)
    check_in("tests[#2].expect.location", err)
    check_in("expected /elsewhere", err)


# ---- variables -----------------------------------------------------------------------------------

def documented(part):
    """The names in the tables of a part of variables.md."""
    with open(os.path.join(ROOT, "etc", "docs", "variables.md")) as f:
        text = f.read().split("\n## ")[part]
    return {name for row in re.findall(r"^\| (`.*?) \|", text, re.M) for name in re.findall(r"`(\w+)`", row)}


def test_every_variable_is_documented(t):
    def config(header, line):
        return conf(t, """log = { format = "%s"; };
            pools = ( { name = "p"; mode = "http"; backends = ( { name = "a"; address = "127.0.0.1:1"; } ); } );
            listeners = ( { name = "l"; mode = "http"; bind = "127.0.0.1:%d"; routes = ( { path = "~^(a)(a)(a)(a)(a)(a)(a)(a)(a)";
                pool = "p"; request_headers = { set = ( { name = "X"; value = "%s"; } ); }; } ); } );""" % (
                line, t.port(), header))

    def in_text(names):
        return " ".join("$" + n.replace("NAME", "x") for n in sorted(names))

    of_texts, of_lines = documented(1), documented(2)
    status, _, err = t.run("-t", "-c", config(in_text(of_texts | set("123456789")), in_text(of_lines)))
    check_eq((status, err.count("error")), (0, 0), err)
    err = t.run("-t", "-c", config("$nonsense", "$id"))[2]
    known = re.search(r"known are (.*?) 1 \.\.\. 9", err).group(1).split()
    check_eq(set(known) - of_texts, set())
    with open(os.path.join(ROOT, "lb", "obs", "access_vars.c")) as f:
        table = f.read().split("variables[] = {")[1].split("};")[0]
    known = re.findall(r"(?:BOTH|HTTP|TLS)\((\w+)", table) + re.findall(r'\{"(\w+)"', table)
    check(len(known) > 50, "the table is read", known)
    check_eq({n + "NAME" if n.endswith("_") else n for n in known} - of_lines, set())
