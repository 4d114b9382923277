"""Connections are spread as the algorithm says."""

import contextlib
import socket

from harness import *


def spread(front, n, **kw):
    counts = {}
    for _ in range(n):
        name = who(front, **kw)
        counts[name] = counts.get(name, 0) + 1
    return counts


def three(t, pool="", weights=(1, 1, 1), top="workers = 1;"):
    backends = [t.backend(named) for _ in weights]
    return t.simple([(b, "weight = %d;" % w) for b, w in zip(backends, weights)], pool=pool, top=top)


def test_round_robin_is_even(t):
    s, front = three(t)
    check_eq(spread(front, 30), {"b1": 10, "b2": 10, "b3": 10})


def test_round_robin_by_weight_and_smooth(t):
    s, front = three(t, weights=(5, 1, 1))
    order = [who(front) for _ in range(14)]
    check_eq(sorted(order), ["b1"] * 10 + ["b2"] * 2 + ["b3"] * 2)
    runs = "".join(name[1] for name in order)
    check("11111" not in runs, "heavy ones are not served in one go", runs)


def test_weight_0_gets_nothing(t):
    s, front = three(t, weights=(1, 0, 1))
    check_eq(spread(front, 10), {"b1": 5, "b3": 5})


def test_least_connections(t):
    s, front = three(t, pool='balance = "least_connections";')
    held = [connect(front) for _ in range(9)]
    names = sorted(recv_line(c).strip().decode() for c in held)
    check_eq(names, ["b1"] * 3 + ["b2"] * 3 + ["b3"] * 3)
    for c in held:
        c.close()


def test_least_connections_sees_all_workers(t):
    """In-flight counts are the process', not a worker's."""
    s, front = three(t, pool='balance = "least_connections";', top="workers = 4;")
    held = []
    for _ in range(30):
        c = connect(front)
        held.append((recv_line(c), c))
    counts = [sum(1 for line, _ in held if line == b"b%d\n" % i) for i in (1, 2, 3)]
    check(max(counts) - min(counts) <= 1, "spread over the backends", counts)
    for _, c in held:
        c.close()


def test_hash_keeps_a_source_on_its_backend(t):
    s, front = three(t, pool='balance = "hash"; hash = { key = "source"; };')
    by_source = {}
    for i in range(1, 41):
        source = "127.9.0.%d" % i
        names = {who(front, source=source) for _ in range(3)}
        check_eq(len(names), 1, "backends of one source")
        by_source[source] = names.pop()
    check_eq(len(set(by_source.values())), 3, "backends used by 40 sources")
    # one leaves: only its sources move
    s.ok("disable server app/b2")
    wait_until(lambda: all(who(front, source=src) != "b2" for src in list(by_source)[:10]),
               "b2 is out")
    moved = sum(1 for src, name in by_source.items()
                if name != "b2" and who(front, source=src) != name)
    check(moved <= 4, "sources that moved without need", moved)


def test_first_fills_the_first(t):
    backends = [t.backend(named) for _ in range(2)]
    s, front = t.simple([(b, "max_connections = 3;") for b in backends],
                        pool='balance = "first";', top="workers = 1;")
    held = [connect(front) for _ in range(5)]
    names = sorted(recv_line(c).strip().decode() for c in held)
    check_eq(names, ["b1"] * 3 + ["b2"] * 2)
    for c in held:
        c.close()


def test_random_two_reaches_all(t):
    s, front = three(t, pool='balance = "random_two";')
    counts = spread(front, 60)
    check_eq(set(counts), {"b1", "b2", "b3"})


def test_backup_is_used_only_when_no_other_is_up(t):
    main, spare = t.backend(named), t.backend(named)
    s, front = t.simple([main, (spare, "backup = true;")],
                        pool='health = { type = "tcp"; interval = "50ms"; rise = 1; fall = 1; };')
    check_eq(spread(front, 10), {"b1": 10})
    main.kill()
    s.wait_status("app", "b1", "DOWN.*")
    check_eq(spread(front, 4), {"b2": 4})
    main.start()
    s.wait_status("app", "b1", "UP")
    wait_until(lambda: who(front) == "b1", "traffic returns")


def test_panic_percent_ignores_health_when_too_many_are_down(t):
    """b2 and b3 fail their checks (another port), but would serve."""
    backends = [t.backend(named) for _ in range(3)]
    checked = t.backend(hangs)
    s, front = t.simple(backends, pool='panic_percent = 50; health = { type = "tcp"; '
                        'interval = "50ms"; rise = 1; fall = 1; port = %d; };' % checked.address[1])
    checked.kill()
    s.wait_status("app", "b1", "DOWN.*")
    s.wait_status("app", "b3", "DOWN.*")
    wait_until(lambda: set(spread(front, 6)) == {"b1", "b2", "b3"}, "all are used in panic")


def test_slow_start_ramps(t):
    a, b = t.backend(named), t.backend(named)
    s, front = t.simple([a, b], top="workers = 1;", pool='slow_start = "60s"; health = { type = "tcp"; '
                        'interval = "50ms"; rise = 1; fall = 1; };')
    b.kill()
    s.wait_status("app", "b2", "DOWN.*")
    b.start()
    s.wait_status("app", "b2", "UP.*")
    counts = spread(front, 40)
    check(counts.get("b2", 0) <= 10, "connections right after it came up", counts)


def test_nobody_is_there(t):
    a = t.backend(named)
    s, front = t.simple([a], pool='health = { type = "tcp"; interval = "50ms"; rise = 1; fall = 1; };')
    a.kill()
    s.wait_status("app", "b1", "DOWN.*")
    c = connect(front)
    expect_closed(c)
    c.close()
    s.wait_access("<NOSRV>|app/- ")
