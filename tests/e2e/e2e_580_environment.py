"""A sidecar configured by its environment alone: no file, no words."""

from http_tools import *


def variables(front, backends, **more):
    return dict({"SLUICE_LISTEN": where(front), "SLUICE_BACKENDS": ",".join(backends)}, **more)


def sidecar(t, front, backends, args=("quick",), **more):
    env = variables(front, backends, SLUICE_STATS=t.path("sluice.sock"), SLUICE_IO=t.engine,
                    SLUICE_WORKERS="2", **more)
    return t.sluice(None, args=list(args), env=env)


def test_quick_without_words_takes_the_environment(t):
    a, b = t.backend(app(by_name)), t.backend(app(by_name))
    front = t.address()
    s = sidecar(t, front, [where(a.address), where(b.address)], SLUICE_MODE="http",
                SLUICE_HEALTH_PATH="/healthz", SLUICE_BALANCE="random_two")
    check_eq(fetch(front, "/").status, 200)
    check_eq(s.stat()["app", "BACKEND"]["algo"], "random")
    check_in("starts with the environment", s.log)
    wait_until(lambda: "/healthz" in [r.path for r in a.seen + b.seen], "they are checked by path")
    status, out, err = t.run("healthcheck", env={"SLUICE_STATS": s.stats_path})
    check_eq((status, out), (0, "ready\n"), err)


def test_sluice_alone_does_so_where_there_is_no_file(t):
    if os.path.exists("/etc/sluice/sluice.conf"):
        raise Skip("the usual file is there")
    b = t.backend(named)
    front = t.address()
    sidecar(t, front, [where(b.address)], args=())
    check_eq(who(front), "b1")


def test_mistakes_name_the_variable(t):
    good = variables(("127.0.0.1", 8080), ["127.0.0.1:3001"])
    for more, words in (({"SLUICE_BACKENDS": "127.0.0.1:3001,127.0.0.1:x"},
                         "SLUICE_BACKENDS: error: pools[app].backends[b2].address: found"),
                        ({"SLUICE_BALANCE": "best"}, "SLUICE_BALANCE: error: pools[app].balance: "
                                                     'found "best", expected "round_robin"'),
                        ({"SLUICE_WORKERS": "all"}, "SLUICE_WORKERS: error: workers: found"),
                        ({"SLUICE_DRAIN_DELAY": "5"}, "SLUICE_DRAIN_DELAY: error: drain.delay: ")):
        status, out, err = t.run("quick", "--print", env=dict(good, **more))
        check_eq((status, out), (1, ""), err)
        check_in(words, err)
        check_eq(len(err.splitlines()), 1, err)
    status, out, err = t.run("quick", env={"SLUICE_LISTEN": "8080"})
    check_eq(status, 2)
    check_in("SLUICE_BACKENDS is not set", err)
    status, out, err = t.run("quick", "--print", env=dict(good, SLUICE_HEALTHPATH="/up"))
    check_eq(status, 0, err)
    check_in("SLUICE_HEALTHPATH: warning: not known, not used (did you mean SLUICE_HEALTH_PATH?)", err)


def test_the_examples_for_containers_are_good(t):
    for path, setting in (("docker/compose.yaml", r"^\s+(SLUICE_\w+): (.+)$"),
                          ("k8s/sidecar.yaml", r"\{ name: (SLUICE_\w+), value: (.+) \}")):
        with open(os.path.join(ROOT, "etc", path)) as f:
            env = {name: value.strip('"') for name, value in re.findall(setting, f.read(), re.M)}
        check(len(env) > 5, "variables of " + path, env)
        status, out, err = t.run("quick", "--print", env=env)
        check_eq((status, err), (0, ""), path)
