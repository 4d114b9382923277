"""Datagrams: flows by client address, to backends behind connected sockets."""

import contextlib
import json
import os
import socket
import struct
import threading
import time

from harness import *


class Datagrams:
    """A UDP server in a thread. answer(data, server) says what it sends back: a list of datagrams."""

    def __init__(self, address, name, answer):
        self.address, self.name, self.answer = address, name, answer
        self.seen, self.sources = 0, set()
        self.start()

    def start(self):
        self.socket = socket.socket(family_of(self.address), socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind(self.address)
        self.over = False
        self.thread = threading.Thread(target=self._serve, args=(self.socket,), daemon=True)
        self.thread.start()

    def _serve(self, s):
        s.settimeout(0.05)
        while not self.over:
            try:
                data, source = s.recvfrom(65536)
            except (TimeoutError, socket.timeout):
                continue
            except OSError:
                return
            self.seen += 1
            self.sources.add(source)
            for reply in self.answer(data, self):
                with contextlib.suppress(OSError):
                    s.sendto(reply, source)

    def stop(self):
        """Nobody is there: who sends is told so by ICMP."""
        self.over = True
        self.thread.join()
        self.socket.close()


def family_of(address):
    return socket.AF_INET6 if ":" in address[0] else socket.AF_INET


def echoes(data, server):
    return [data]


def says_name(data, server):
    return [server.name.encode() + b" " + data]


def silent(data, server):
    return []


class Front:
    """A sluice of mode udp before servers b1, b2..."""

    def __init__(self, t, answers=(says_name, says_name), pool="", listener="", top="workers = 1;",
                 listen=None, bind=None):
        self.test = t
        self.backends = [Datagrams(t.address(), "b%d" % (i + 1), a) for i, a in enumerate(answers)]
        self.address = listen or t.address()
        self.pool, self.listener, self.top = pool, listener, top
        self.bind = bind or where(self.address)
        self.sluice = t.sluice(self.conf(self.backends))

    def conf(self, backends):
        rows = ", ".join('{ name = "%s"; address = "%s"; }' % (b.name, where(b.address))
                         for b in backends)
        return ('%s\npools = ( { name = "app"; mode = "udp"; %s backends = (%s); } );\n'
                'listeners = ( { name = "front"; mode = "udp"; bind = "%s"; pool = "app";\n'
                '  log = { access = "stdout"; format = "json"; }; %s } );\n'
                % (self.top, self.pool, rows, self.bind, self.listener))

    def client(self, source=None):
        s = socket.socket(family_of(self.address), socket.SOCK_DGRAM)
        s.settimeout(SECONDS)
        if source:
            s.bind(source)
        s.connect(self.address)
        return s

    def who(self, client, text=b"x"):
        """The name of the backend that answers."""
        return ask(client, text).split(b" ")[0].decode()

    def flows(self):
        return self.sluice.number("front", "FRONTEND", "scur")

    def lines(self):
        return [json.loads(line) for line in self.sluice.access.splitlines() if line]


def ask(client, data, seconds=SECONDS):
    """Asks again when a datagram was lost, as whoever speaks UDP must."""
    client.settimeout(1)
    over = time.monotonic() + seconds
    while time.monotonic() < over:
        try:
            client.send(data)
            return client.recv(65536)
        except ConnectionRefusedError:  # nobody is there yet
            time.sleep(0.05)
        except (TimeoutError, socket.timeout):
            pass
    raise Failure("no answer to %r" % short(data))


def shown(s, column):
    """Of the first listener in `show udp`."""
    return json.loads(s.ctl("show udp json"))[0][column]


# ---- datagrams ----

def test_datagrams_of_every_size_come_back(t):
    f = Front(t, (echoes,), listener='udp = { timeout = "1s"; };')
    with f.client() as c:
        for n in (0, 1, 64, 1472, 1473, 9000, 65507):
            data = pattern(n)[:n]
            check_eq(ask(c, data), data)
    wait_until(lambda: f.flows() == 0, "the flow ends")
    check_eq(f.sluice.number("app", "b1", "bin"), f.sluice.number("front", "FRONTEND", "bin"))
    f.sluice.wait_access(r'"bytes_in":[1-9]')
    line = f.lines()[0]
    check_eq((line["end_code"], line["backend"], line["bytes_in"]), ("--", "b1", line["bytes_out"]))


def test_a_flow_keeps_its_backend_and_others_are_spread(t):
    f = Front(t, (says_name,) * 3, listener='udp = { timeout = "1s"; };')
    clients = [f.client() for _ in range(9)]
    first = [f.who(c) for c in clients]
    check_eq(sorted(first), ["b1"] * 3 + ["b2"] * 3 + ["b3"] * 3)
    for _ in range(5):
        check_eq([f.who(c) for c in clients], first)
    check_eq(f.flows(), 9)
    check_eq([len(b.sources) for b in f.backends], [3, 3, 3])  # a socket of its own for each
    for c in clients:
        c.close()


def test_workers_share_a_port_and_all_answer(t):
    f = Front(t, (echoes,), top="workers = 4;", listener='udp = { timeout = "1s"; };')

    def client(i):
        with f.client() as c:
            for n in range(20):
                data = b"%d %d" % (i, n)
                check_eq(ask(c, data), data)
    in_threads(16, client)
    check_eq(f.sluice.number("front", "FRONTEND", "stot"), 16)


def test_hash_goes_by_the_address_without_the_port(t):
    f = Front(t, (says_name,) * 3, pool='balance = "hash";', top="workers = 2;",
              listener='udp = { timeout = "1s"; };')
    seen = {}
    for host in range(2, 12):
        for _ in range(3):
            with f.client(("127.%d.7.9" % host, 0)) as c:
                seen.setdefault(host, set()).add(f.who(c))
    check(all(len(names) == 1 for names in seen.values()), "one backend for an address", seen)
    check(len(set.union(*seen.values())) > 1, "several backends for all", seen)


def test_the_answer_comes_from_the_address_that_was_asked(t):
    for bind, addresses in (("0.0.0.0", [t.ip, t.other_ip]), ("[::]", ["::1"])):
        port = t.port()
        f = Front(t, (echoes,), bind="%s:%d" % (bind, port), listen=(addresses[0], port),
                  listener='udp = { timeout = "1s"; };')
        with socket.socket(family_of((addresses[0],)), socket.SOCK_DGRAM) as c:
            c.settimeout(SECONDS)
            for a in addresses:  # the same client, so the flows differ in the own address only
                c.sendto(b"hello", (a, port))
                data, source = c.recvfrom(100)
                check_eq((data, source[:2]), (b"hello", (a, port)))
        check_eq(f.flows(), len(addresses))


def test_joined_datagrams_are_split_again(t):
    """UDP_SEGMENT: the kernel gives sluice many in one, and must get them apart on both ways."""
    f = Front(t, (echoes,), listener='udp = { timeout = "1s"; };')
    with f.client() as c:
        c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        try:
            c.setsockopt(socket.IPPROTO_UDP, 103, 1000)
        except OSError:
            raise Skip("no UDP_SEGMENT here")
        data = b"".join(bytes([65 + i]) * 1000 for i in range(20)) + b"end"
        c.send(data)
        got = [c.recv(65536) for _ in range(21)]
        check_eq(sorted(len(d) for d in got), [3] + [1000] * 20)
        check_eq(sorted(got), sorted(data[i:i + 1000] for i in range(0, len(data), 1000)))
    wait_until(lambda: f.backends[0].seen == 21, "the backend had each of them")
    check_eq([shown(f.sluice, "in"), shown(f.sluice, "out")], [21, 21])


# ---- ends ----

def test_a_flow_ends_with_its_last_answer(t):
    f = Front(t, (lambda d, s: [d, d],), listener='udp = { responses = 2; timeout = "1h"; };')
    with f.client() as c:
        for _ in range(3):
            c.send(b"ask")
            check_eq([c.recv(100), c.recv(100)], [b"ask", b"ask"])
            wait_until(lambda: f.flows() == 0, "the flow ends at once")
    f.sluice.wait_access(r'"end_code":"--"', count=3)


def test_an_answer_that_does_not_come_is_counted(t):
    f = Front(t, (silent,), listener='udp = { responses = 1; timeout = "200ms"; };')
    with f.client() as c:
        c.send(b"ask")
        f.sluice.wait_access(r'"end_code":"sD"')
    f.sluice.wait_number("app", "b1", "eresp", 1)


def test_a_flood_of_clients_is_bounded(t):
    """The oldest quiet flows go; one that speaks on stays."""
    f = Front(t, (silent, silent), top="workers = 1;", listener='udp = { flows = 500; timeout = "1h"; };')
    before = status_kb(f.sluice.pid, "VmRSS")
    total = 5000 if t.sanitized else 20000
    with contextlib.ExitStack() as stack:
        keeper = stack.enter_context(f.client())
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as raw:
            for i in range(total):
                source = socket.inet_aton("127.%d.%d.%d" % (200 + i // 60000, 1 + i // 250 % 250, 1 + i % 250))
                raw_send(raw, source, f.address)
                if i % 100 == 0:
                    keeper.send(b"on")
                    time.sleep(0.002)
        last = stack.enter_context(f.client())
        wait_until(lambda: last.send(b"last") and "%s:%d" % last.getsockname()[:2] in f.sluice.ctl("show sess"),
                   "what was sent before is done with")
        f.sluice.wait_number("front", "FRONTEND", "scur", 500)
        check(f.sluice.number("front", "FRONTEND", "stot") > total / 2, "most had a flow",
              f.sluice.ctl("show udp"))
        evicted = shown(f.sluice, "evicted")
        check(evicted + 500 == f.sluice.number("front", "FRONTEND", "stot"), "others were evicted", evicted)
        port = keeper.getsockname()[1]
        sessions = f.sluice.ctl("show sess")
        check("%s:%d" % (keeper.getsockname()[0], port) in sessions, "who speaks on stays")
    if not t.sanitized:
        grown = status_kb(f.sluice.pid, "VmRSS") - before
        check(grown < 16384, "memory has grown by %d KiB" % grown)
    f.sluice.ok("shutdown sessions server app/b1")
    f.sluice.ok("shutdown sessions server app/b2")


def raw_send(raw, source, address):
    """A datagram from a made-up source."""
    payload = b"flood"
    udp = struct.pack(">HHHH", 5353, address[1], 8 + len(payload), 0) + payload
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, 64, 17, 0, source,
                       socket.inet_aton(address[0]))
    raw.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
    raw.sendto(head + udp, address)


# ---- backends that fail ----

def test_a_backend_that_refuses_is_left_and_the_datagram_is_not_lost(t):
    f = Front(t, (says_name,) * 2, pool="health = { type = \"none\"; };",
              listener='udp = { timeout = "1s"; };')
    f.backends[0].stop()
    for _ in range(6):
        with f.client() as c:
            c.send(b"x")  # once
            check_eq(c.recv(100), b"b2 x")
    check(f.sluice.number("app", "b1", "econ") >= 1, "refusals are counted")
    f.sluice.wait_access(r'"end_code":"SC"[^\n]*refused')


def test_flows_move_when_their_backend_dies_and_come_back(t):
    """Kill and restart of one under load."""
    check_port = t.backend(closes_at_once)
    f = Front(t, (says_name,) * 2, top="workers = 2;", listener='udp = { timeout = "1s"; };',
              pool='health = { type = "udp"; send = "ping"; expect = "ping"; interval = "50ms"; '
                   'timeout = "200ms"; rise = 1; fall = 2; }; on_down = "close";')
    del check_port
    stop = threading.Event()
    lost, answered = [0] * 6, [0] * 6
    names = [set() for _ in range(6)]

    def load(i):
        with f.client() as c:
            c.settimeout(0.3)
            while not stop.is_set():
                try:
                    c.send(b"x")
                    names[i].add(c.recv(100)[:2])
                    answered[i] += 1
                except (TimeoutError, socket.timeout):
                    lost[i] += 1
                time.sleep(0.005)
    threads = [threading.Thread(target=load, args=(i,), daemon=True) for i in range(6)]
    for th in threads:
        th.start()
    try:
        wait_until(lambda: all(n > 5 for n in answered), "all are served")
        f.backends[0].stop()
        f.sluice.wait_status("app", "b1", r"DOWN")
        at = list(answered)
        wait_until(lambda: all(a > b + 5 for a, b in zip(answered, at)), "all are served again")
        f.backends[0].start()
        f.sluice.wait_status("app", "b1", r"^UP")
    finally:
        stop.set()
        for th in threads:
            th.join()
    check(sum(lost) <= 12, "few datagrams are lost", lost)
    check(all(b"b2" in n for n in names), "all were at the other", names)


def test_on_down_close_ends_flows(t):
    f = Front(t, (says_name,) * 2, listener='udp = { timeout = "1h"; };',
              pool='on_down = "close"; health = { type = "udp"; send = "x"; interval = "1h"; };')
    with f.client() as c:
        name = f.who(c)
        f.sluice.ok("set server app/%s health down" % name)
        f.sluice.wait_access(r'"end_code":"DD"')
        check(f.who(c) != name, "the next datagram goes elsewhere")
    f.sluice.ok("shutdown sessions server app/b1")
    f.sluice.ok("shutdown sessions server app/b2")


def test_without_backends_datagrams_are_dropped_and_counted(t):
    f = Front(t, (echoes,), listener='udp = { timeout = "1s"; };')
    f.sluice.ok("set server app/b1 state maint")
    with f.client() as c:
        c.send(b"x")
        wait_until(lambda: shown(f.sluice, "no-backend") == 1, lambda: f.sluice.ctl("show udp"))
    f.sluice.wait_access(r'"end_code":"SC"')


def test_max_connections_bounds_flows(t):
    front = Datagrams(t.address(), "b1", echoes)
    listen = t.address()
    s = t.sluice('workers = 2;\npools = ( { name = "app"; mode = "udp"; backends = ( { name = "b1"; '
                 'address = "%s"; max_connections = 3; } ); } );\nlisteners = ( { name = "front"; '
                 'mode = "udp"; bind = "%s"; pool = "app"; udp = { timeout = "1s"; }; } );'
                 % (where(front.address), where(listen)))
    clients = []
    for _ in range(40):  # two workers reach for the last place at the same time
        c = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        c.connect(listen)
        clients.append(c)
    for c in clients:
        c.send(b"x")
    wait_until(lambda: shown(s, "full") == 37, lambda: s.ctl("show udp"))
    check_eq(s.number("app", "b1", "scur"), 3)
    s.wait_number("app", "b1", "scur", 0)
    for c in clients:
        c.close()


# ---- drain, reload ----

def test_drain_ends_quiet_flows_soon(t):
    f = Front(t, (echoes,), listener='udp = { timeout = "1h"; };')
    with f.client() as c:
        ask(c, b"x")
        began = time.monotonic()
        f.sluice.terminate()
        check(time.monotonic() - began < 6, "flows do not hold it up")


def test_flows_live_on_over_a_reload(t):
    f = Front(t, (says_name,) * 2, listener='udp = { timeout = "1h"; };')
    with f.client() as c, f.client() as d:
        before = [f.who(c), f.who(d)]
        f.listener = 'udp = { timeout = "2s"; };'
        f.pool = 'balance = "least_connections";'
        third = Datagrams(t.address(), "b3", says_name)
        with open(f.sluice.conf_path) as conf:
            head = "".join(line for line in conf if re.match(r"(stats|io|workers)\b", line))
        f.top = head
        with open(f.sluice.conf_path, "w") as conf:
            conf.write(f.conf(f.backends + [third]))
        check_in("reloaded", f.sluice.ctl("reload"))
        wait_until(lambda: ("app", "b3") in f.sluice.stat(), "the reload is through")
        check_eq([f.who(c), f.who(d)], before)
        check_eq(f.flows(), 2)
        with f.client() as e:
            check_eq(f.who(e), "b3")
    wait_until(lambda: f.flows() == 0, "the new timeout holds for them too", SECONDS)


# ---- configuration ----

def test_what_makes_no_sense_is_refused(t):
    pool = 'pools = ( { name = "app"; mode = "udp"; %s backends = ( { name = "a"; address = "%s"; } ); } );\n'
    front = 'listeners = ( { name = "l"; mode = "udp"; bind = "%s"; pool = "app"; %s } );\n'
    cases = (
        (pool % ("", "127.0.0.1:1") + front % ("127.0.0.1:2", "routes = ();"), "found a setting of mode \"http\""),
        (pool % ("", "127.0.0.1:1") + front % ("127.0.0.1:2", "proxy_protocol = \"v2\";"), "found a setting of connections"),
        (pool % ("", "127.0.0.1:1") + front % ("127.0.0.1:2", "tls = { certificates = (); };"), "found a setting of connections"),
        (pool % ("", "127.0.0.1:1") + front % ("unix:/tmp/x", ""), "expected an address with a port"),
        (pool % ("", "unix:/tmp/x") + front % ("127.0.0.1:2", ""), "expected addresses with ports"),
        (pool % ("send_proxy = \"v2\";", "127.0.0.1:1") + front % ("127.0.0.1:2", ""), "found a setting of connections"),
        (pool % ("health = { type = \"udp\"; };", "127.0.0.1:1") + front % ("127.0.0.1:2", ""), "health.send: not found"),
        (pool % ("health = { type = \"dns\"; host = \"a..b\"; };", "127.0.0.1:1") + front % ("127.0.0.1:2", ""),
         "expected the name to ask for"),
        (pool.replace("udp", "tcp") % ("", "127.0.0.1:1") + front % ("127.0.0.1:2", ""), "a pool of mode \"tcp\""),
        (pool % ("", "127.0.0.1:1") + front % ("127.0.0.1:2", "udp = { flows = 0; };"), "expected"),
    )
    for text, says in cases:
        with open(t.path("bad.conf"), "w") as f:
            f.write(text)
        status, _, err = t.run("-t", "-c", t.path("bad.conf"))
        check_eq(status, 1, text)
        check_in(says, err, text)


def test_tcp_and_udp_share_a_port(t):
    """As DNS wants it."""
    udp = Datagrams(t.address(), "u", echoes)
    tcp = t.backend(echo)
    listen = t.address()
    t.sluice('pools = ( { name = "u"; mode = "udp"; backends = ( { name = "a"; address = "%s"; } ); }, '
             '{ name = "t"; mode = "tcp"; backends = ( { name = "a"; address = "%s"; } ); } );\n'
             'listeners = ( { name = "dns"; mode = "udp"; bind = "%s"; pool = "u"; udp = { timeout = "1s"; }; }, '
             '{ name = "dns-tcp"; mode = "tcp"; bind = "%s"; pool = "t"; } );'
             % (where(udp.address), where(tcp.address), where(listen), where(listen)))
    check_eq(talk(listen, b"stream\n"), b"stream\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as c:
        c.connect(listen)
        check_eq(ask(c, b"datagram"), b"datagram")


# ---- with the real thing ----

def query(name, number):
    """A question for an A record."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"
    return struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0) + labels + struct.pack(">HH", 1, 1)


def name_server(t, address, answer):
    """dnsmasq that knows one name; as whoever runs the test, in the foreground."""
    server = t.program(["dnsmasq", "-k", "-C", "/dev/null", "--pid-file=", "--no-resolv", "--no-hosts",
                        "--bind-interfaces", "--listen-address=" + address[0], "--port=%d" % address[1],
                        "--except-interface=none", "--user=" + ("root" if os.geteuid() == 0 else ""),
                        "--address=/app.test/" + answer, "--address=/localhost/127.0.0.1"])

    def up():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.1)
            s.connect(address)
            try:
                s.send(query("app.test", 1))
                return s.recv(512)
            except (ConnectionRefusedError, TimeoutError, socket.timeout):
                return None
    wait_until(up, "dnsmasq answers")
    return server


def test_name_servers(t):
    """etc/examples/dns.conf with two dnsmasq; one is killed and started again under load."""
    places = [t.address(), t.address()]
    listen = t.address()
    servers = [name_server(t, a, "10.0.0.%d" % (i + 1)) for i, a in enumerate(places)]
    path = os.path.join(ROOT, "etc", "examples", "dns.conf")
    with open(path) as f:
        text = f.read().replace('interval = "2s"', 'interval = "100ms"; fall = 2')
    text = re.sub(r"^stats = .*$", "", text, flags=re.M)
    s = t.sluice(text, env={"NS1": where(places[0]), "NS2": where(places[1]), "LISTEN": where(listen),
                            "ACCESS": "stdout"})
    seen, failed, stop = set(), [], threading.Event()

    def resolve(number):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as c:
            c.settimeout(0.5)
            c.connect(listen)
            for _ in range(10):
                try:
                    c.send(query("app.test", number))
                    answer = c.recv(512)
                except (ConnectionRefusedError, TimeoutError, socket.timeout):
                    continue
                check_eq(struct.unpack(">H", answer[:2])[0], number)
                check_eq(answer[3] & 15, 0)
                seen.add(answer[-1])
                return True
        return False

    def load(i):
        n = 0
        while not stop.is_set():
            n = n % 10000 + 1
            if not resolve(i * 10000 + n):
                failed.append(n)
    threads = [threading.Thread(target=load, args=(i,), daemon=True) for i in range(4)]
    for th in threads:
        th.start()
    try:
        wait_until(lambda: seen == {1, 2}, lambda: "both are asked: %s" % seen)
        servers[0].kill()
        servers[0].wait()
        s.wait_status("dns", "ns1", r"DOWN")
        seen.clear()
        wait_until(lambda: seen == {2}, "the other one answers all")
        name_server(t, places[0], "10.0.0.1")
        s.wait_status("dns", "ns1", r"^UP")
        wait_until(lambda: seen == {1, 2}, "both again")
    finally:
        stop.set()
        for th in threads:
            th.join()
    check_eq(failed, [])
    with contextlib.closing(connect(listen)) as c:  # over TCP
        question = query("app.test", 7)
        c.sendall(struct.pack(">H", len(question)) + question)
        length = struct.unpack(">H", recv_exact(c, 2))[0]
        check_eq(recv_exact(c, length)[:2], question[:2])
    s.wait_access(r" dns dns/ns[12] ")


def test_syslog(t):
    """logger(1) to two receivers."""
    got = []
    f = Front(t, (lambda d, s: got.append(d) or [],) * 2, listener='udp = { timeout = "500ms"; };')
    for i in range(6):
        status = t.program(["logger", "-d", "-n", f.address[0], "-P", str(f.address[1]), "-t", "app",
                            "line %d" % i]).wait(SECONDS)
        check_eq(status, 0)
    wait_until(lambda: len(got) == 6, "all lines have arrived")
    check_eq(sorted(re.search(rb"line \d", d)[0] for d in got), [b"line %d" % i for i in range(6)])
    check(all(b.seen for b in f.backends), "both receivers got some")


def test_without_a_file(t):
    """sluice quick before sluice origin, both for datagrams."""
    origin, listen = t.address(), t.address()
    t.program([t.binary, "origin", "--udp", where(origin)], stderr=-3)
    s = t.sluice(None, args=["quick", "--mode", "udp", where(listen), where(origin)], stats=False)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as c:
        c.connect(listen)
        check_eq(ask(c, b"hello"), b"hello")
    s.quiet = False
    s.terminate()
