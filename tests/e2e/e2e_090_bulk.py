"""Large transfers arrive whole, both ways, and give back their pipes and buffers."""

import contextlib
import hashlib
import socket
import threading

from harness import *

NO_CHECKS = 'health = { type = "none"; };'  # handlers here count their connections

SIZE = 100 << 20


def digest_of_stream(s):
    h = hashlib.sha256()
    n = 0
    while True:
        part = s.recv(1 << 20)
        if not part:
            return n, h.hexdigest()
        h.update(part)
        n += len(part)


def send_digest(s, size, seed):
    block = pattern(1 << 20, seed)
    h = hashlib.sha256()
    for i in range(0, size, len(block)):
        part = block[:min(len(block), size - i)]
        s.sendall(part)
        h.update(part)
    s.shutdown(socket.SHUT_WR)
    return size, h.hexdigest()


def test_100_mb_down(t):
    sent = []

    def serve(conn, b):
        sent.append(send_digest(conn, SIZE, b"down"))
    s, front = t.simple([t.backend(serve)], pool=NO_CHECKS)
    with contextlib.closing(connect(front)) as c:
        got = digest_of_stream(c)
    wait_until(lambda: sent, "the backend is done")
    check_eq(got, sent[0])


def test_100_mb_up(t):
    got = []

    def serve(conn, b):
        got.append(digest_of_stream(conn))
    s, front = t.simple([t.backend(serve)], pool=NO_CHECKS)
    with contextlib.closing(connect(front)) as c:
        sent = send_digest(c, SIZE, b"up")
        expect_eof(c)
    wait_until(lambda: got, "the backend is done")
    check_eq(got[0], sent)


def test_100_mb_both_ways_at_once(t):
    seen = {}

    def serve(conn, b):
        writer = threading.Thread(target=lambda: seen.update(sent=send_digest(conn, SIZE, b"d")))
        writer.start()
        seen["got"] = digest_of_stream(conn)
        writer.join()
    s, front = t.simple([t.backend(serve)], pool=NO_CHECKS)
    with contextlib.closing(connect(front)) as c:
        writer = threading.Thread(target=lambda: seen.update(up=send_digest(c, SIZE, b"u")))
        writer.start()
        down = digest_of_stream(c)
        writer.join()
    wait_until(lambda: "got" in seen and "sent" in seen, "the backend is done")
    check_eq(seen["got"], seen["up"])
    check_eq(down, seen["sent"])


def test_bulk_over_unix_sockets(t):
    sent = []

    def serve(conn, b):
        sent.append(send_digest(conn, SIZE // 4, b"x"))
    s, front = t.simple([t.backend(serve, address=t.path("b.sock"))], listen=t.path("f.sock"), pool=NO_CHECKS)
    with contextlib.closing(connect(front)) as c:
        got = digest_of_stream(c)
    wait_until(lambda: sent, "the backend is done")
    check_eq(got, sent[0])


def test_bulk_then_small_then_bulk(t):
    """Into splicing and back again."""
    block = pattern(3 << 20)

    def serve(conn, b):
        for line in conn.makefile("rb"):
            conn.sendall(block if line == b"big\n" else line)
    s, front = t.simple([t.backend(serve)], pool=NO_CHECKS)
    with contextlib.closing(connect(front)) as c:
        for _ in range(6):
            c.sendall(b"big\n")
            check(recv_exact(c, len(block)) == block, "big block differs")
            for i in range(20):
                c.sendall(b"%d\n" % i)
                check_eq(recv_line(c), b"%d\n" % i)


def test_many_bulk_transfers_at_once_with_aborts(t):
    """Resets in the middle of splicing leave no pipe behind."""
    def serve(conn, b):
        send_digest(conn, 8 << 20, b"m")
    s, front = t.simple([t.backend(serve)], pool=NO_CHECKS)

    def client(i):
        c = connect(front)
        recv_exact(c, 1 << 20)
        if i % 2:
            reset(c)
        else:
            rest = digest_of_stream(c)[0]
            check_eq(rest, 7 << 20)
            c.close()
    in_threads(16, client)
