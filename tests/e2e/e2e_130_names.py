"""Names in backend addresses: looked up without blocking the start, again later, and a backend that has
none is down for that reason."""

import contextlib
import socket
import struct
import threading
import time

from harness import *


class Dns:
    """A name server on the test's own address. answers: {name: [addresses]}; silent: says nothing."""

    def __init__(self, ip, port):
        self.answers, self.silent, self.asked = {}, False, 0
        self.s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.s.bind((ip, port))
        self.address = "%s:%d" % (ip, port)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            data, peer = self.s.recvfrom(2048)
            self.asked += 1
            if self.silent:
                continue
            name, at = [], 12
            while data[at]:
                name.append(data[at + 1:at + 1 + data[at]].decode().lower())
                at += data[at] + 1
            question = data[12:at + 5]
            kind = struct.unpack(">H", data[at + 1:at + 3])[0]
            known = self.answers.get(".".join(name))
            family, wanted = (socket.AF_INET6, 28) if kind == 28 else (socket.AF_INET, 1)
            found = [socket.inet_pton(family, a) for a in known or [] if kind == wanted and (":" in a) == (kind == 28)]
            flags = 0x8180 if known is not None else 0x8183
            answer = data[:2] + struct.pack(">HHHHH", flags, 1, len(found), 0, 0) + question
            for a in found:
                answer += b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 1, len(a)) + a
            self.s.sendto(answer, peer)


CHECKS = 'type = "tcp"; interval = "50ms"; rise = 1; fall = 1;'


def start(t, dns, name, port, health=CHECKS, **kw):
    # rows by name, the tuple's address is text
    conf = """resolver = { servers = [ "%s" ]; refresh = "1s"; timeout = "500ms"; };
pools = ( { name = "app"; mode = "tcp"; health = { %s };
  backends = ( { name = "b1"; address = "%s:%d"; } ); } );
""" % (dns.address, health, name, port)
    front = t.address()
    conf += 'listeners = ( { name = "front"; mode = "tcp"; bind = "%s"; pool = "app"; } );\n' % where(front)
    return t.sluice(conf, **kw), front


def test_a_name_is_resolved(t):
    b = t.backend(named)
    dns = Dns(t.ip, t.port())
    dns.answers["db.example"] = [t.ip]
    s, front = start(t, dns, "db.example", b.address[1])
    s.wait_status("app", "b1", "UP")
    check_eq(who(front), "b1")


def test_an_unknown_name_is_a_backend_that_is_down_until_it_appears(t):
    b = t.backend(named)
    dns = Dns(t.ip, t.port())
    s, front = start(t, dns, "db.example", b.address[1], ready=False)
    s.wait_status("app", "b1", r"MAINT \(resolution\)|DOWN.*")
    s.wait_log(r"db\.example.*no such name|app/b1.*no such name")
    c = connect(front)
    expect_closed(c)
    c.close()
    dns.answers["db.example"] = [t.ip]
    s.wait_status("app", "b1", "UP")
    wait_until(lambda: served(front), "traffic")


def served(front):
    with contextlib.suppress(Failure, ConnectionError):
        return who(front) == "b1"


def test_a_silent_name_server_holds_up_nothing(t):
    b = t.backend(named)
    dns = Dns(t.ip, t.port())
    dns.silent = True
    started = time.monotonic()
    s, front = start(t, dns, "db.example", b.address[1], ready=False)
    check(time.monotonic() - started < 5, "start took", time.monotonic() - started)
    wait_until(lambda: dns.asked, "the name server is asked")
    s.wait_status("app", "b1", r"MAINT \(resolution\)|DOWN.*")
    dns.answers["db.example"] = [t.ip]
    dns.silent = False
    s.wait_status("app", "b1", "UP")


def test_a_changed_address_is_followed(t):
    first = t.backend(named, name="old")
    second = t.backend(named, name="new", address=(t.other_ip, first.address[1]))
    dns = Dns(t.ip, t.port())
    dns.answers["db.example"] = [t.ip]
    s, front = start(t, dns, "db.example", first.address[1])
    check_eq(who(front), "old")
    dns.answers["db.example"] = [t.other_ip]
    wait_until(lambda: who(front) == "new", "traffic goes to the new address")


def test_a_failing_name_server_keeps_the_last_address(t):
    b = t.backend(named)
    dns = Dns(t.ip, t.port())
    dns.answers["db.example"] = [t.ip]
    s, front = start(t, dns, "db.example", b.address[1])
    check_eq(who(front), "b1")
    dns.silent = True
    asked = dns.asked
    wait_until(lambda: dns.asked > asked + 3, "it was asked again")
    check_eq(who(front), "b1")


def test_the_end_does_not_wait_for_dns(t):
    dns = Dns(t.ip, t.port())
    dns.silent = True
    s, front = start(t, dns, "db.example", 80, ready=False)
    wait_until(lambda: dns.asked, "asked")
    started = time.monotonic()
    s.terminate()
    check(time.monotonic() - started < 5, "end took", time.monotonic() - started)


def test_of_a_names_addresses_the_one_that_answers_is_used(t):
    """As of "localhost", which is ::1 before it is 127.0.0.1."""
    b = t.backend(named)
    dns = Dns(t.ip, t.port())
    dns.answers["db.example"] = ["::1", t.ip]
    s, front = start(t, dns, "db.example", b.address[1])
    check_eq(who(front), "b1")
    said = r"app/b1: %s is used: nobody answers at \[::1\]:%d" % (where(b.address), b.address[1])
    s.wait_log(said)
    check_eq(s.stat()["app", "b1"]["chkfail"], "0")
    # It asks again and again, and stays.
    asked = dns.asked
    wait_until(lambda: dns.asked > asked + 3, "asked again")
    check_eq(who(front), "b1")
    check_eq(s.log.count("is used: nobody answers"), 1)
    # It moves to where the other one is, and stays down only where none is.
    six = t.backend(named, name="six", address=("::1", b.address[1]))
    b.stop()
    wait_until(lambda: served_by(front) == "six", "the other address is used")
    six.stop()
    s.wait_status("app", "b1", "DOWN")
    b.start()
    s.wait_status("app", "b1", "UP")
    check_eq(who(front), "b1")


def served_by(front):
    with contextlib.suppress(Failure, ConnectionError):
        return who(front)


def test_without_checks_a_client_finds_the_address_that_answers(t):
    b = t.backend(named)
    dns = Dns(t.ip, t.port())
    dns.answers["db.example"] = ["::1", t.ip]
    s, front = start(t, dns, "db.example", b.address[1], health='type = "none";')
    s.wait_log("db.example is ")
    check_eq(who(front), "b1")
    check_eq(s.stat()["app", "b1"]["econ"], "0")
    check_eq([who(front) for _ in range(5)], ["b1"] * 5)
    s.wait_log("app/b1: %s is used" % where(b.address))
    # Where nobody answers at any of them, each is asked once.
    b.stop()
    c = connect(front)
    expect_closed(c)
    c.close()
    check_eq(s.stat()["app", "b1"]["econ"], "1")
    b.start()
    check_eq(who(front), "b1")
