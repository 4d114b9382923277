"""What clients are refused for is among the events, one for many."""

from e2e_560_events import *
from http_tools import *


def test_refused_requests_are_told_once_for_all(t):
    s, front = start(t, [t.backend(app(by_name))])
    with connect(front) as c:
        c.sendall(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n")
        check_in(b" 400 ", recv_all(c))
    told(s, "refused", r"^listener front: 1 request was refused: 1 bad-host$", object="front", severity="warn")
    for _ in range(20):
        with connect(front) as c:
            c.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n")
            check_in(b" 400 ", recv_all(c))
    check_eq(fetch(front, "/").status, 200)
    holds_for(1.5, lambda: len([e for e in events(s) if e["kind"] == "refused"]) == 1,
              "the next one comes after 10 seconds")


def test_a_full_queue_is_told(t):
    there, go = threading.Event(), threading.Event()

    def slow(r, backend):
        there.set()
        go.wait(SECONDS)
        return by_name(r, backend)
    s, front = start(t, [(t.backend(app(slow)), "max_connections = 1;")], pool="queue = { limit = 1; };")
    first = [threading.Thread(target=fetch, args=(front, "/")) for _ in range(2)]
    for thread in first:
        thread.start()
    check(there.wait(SECONDS), "one is at the backend")
    wait_until(lambda: s.stat()["app", "BACKEND"]["qcur"] == "1", "one waits")
    check_eq(fetch(front, "/").status, 503)
    told(s, "limit", r"^pool app: the queue of 1 is full: 1 request was refused$", object="app", severity="warn")
    go.set()
    for thread in first:
        thread.join()
