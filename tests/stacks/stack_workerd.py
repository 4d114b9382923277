"""workerd, a function runtime that is started by who connects to its socket: etc/examples/workerd.conf."""

import platform

from applications import *
from stack_node import STACKS

REQUESTS = 4  # at the same time in one instance, before the next one is started


def command():
    cpu = {"x86_64": "64", "aarch64": "arm64"}.get(platform.machine())
    program = os.path.join(STACKS, "@cloudflare", "workerd-linux-%s" % cpu, "bin", "workerd")
    check(os.access(program, os.X_OK), "workerd is not in build/stacks-node: run scripts/setup.sh stacks")
    return [program, "serve", os.path.join(HERE, "workerd", "config.capnp"), "--socket-fd", "http=3"]


class Activated(Server):
    """Nobody connects to it but sluice."""

    def __init__(self, t, name):
        address = t.address()
        super().__init__(t, name, [os.path.join(HERE, "activate.py"), where(address), *command()], address,
                         env={"APP_NAME": name})

    def answers(self):
        return "listens\n" in self.log

    @property
    def pids(self):
        """Of all that were started, one after the other."""
        return [int(pid) for pid in re.findall(r"^started (\d+)$", self.log, re.M)]

    def kill(self, sig=9):
        os.kill(self.pids[-1], sig)


class BySystemd(Server):
    """What systemd has for trying such units out: it becomes the program that it starts."""

    def __init__(self, t, name):
        address = t.address()
        super().__init__(t, name, ["systemd-socket-activate", "-l", where(address), "-E", "APP_NAME=" + name, *command()],
                         address)

    def answers(self):
        return "Listening on" in self.log

    @property
    def runs(self):
        with open("/proc/%d/comm" % self.process.pid) as f:
            return f.read().strip() == "workerd"


def site(t, kind):
    return Site(t, "workerd.conf", [kind(t, "one"), kind(t, "two")], status="no check", REQUESTS=str(REQUESTS))


def starts_again(one, server, sig):
    """A killed instance is started by the next request, under load; the last pid is then another one's."""
    before = len(server.pids)
    load = Load(one.front, threads=2 * REQUESTS)
    try:
        load.goes_on()
        server.kill(sig)
        wait_until(lambda: len(server.pids) > before, "it is started again")
        load.goes_on()
    finally:
        load.stop()


def test_workerd_is_started_by_its_first_request(t):
    one = site(t, Activated)
    a, b = one.servers
    check_eq((a.pids, b.pids), ([], []), "nobody asks yet: nothing runs")
    check_eq(one.get().header("x-instance"), "one")
    check_eq((len(a.pids), b.pids), (1, []), "as long as the first has room")
    client_and_scheme_are_seen(one)
    large_bodies_are_whole(one)
    events_come_one_by_one(one)
    websockets_echo(one)
    check_eq(b.pids, [])
    sockets = [WebSocket(one.front) for _ in range(REQUESTS + 2)]
    check_eq(len(b.pids), 1, "the first has no room")
    check_eq(one.get().header("x-instance"), "two")
    a.kill()
    for w in sockets[REQUESTS:]:
        w.echo(b"still here")
    for w in sockets[:REQUESTS]:
        with contextlib.suppress(ConnectionError):
            w.echo(b"are you there")
            check(False, "it was killed")
    wait_until(lambda: one.get().header("x-instance") == "one", "it is back")
    check_eq(len(a.pids), 2)


def test_workerd_is_killed_and_starts_again(t):
    one = site(t, Activated)
    for server in one.servers:
        starts_again(one, server, 9)
    starts_again(one, one.servers[0], 15)


def test_workerd_by_systemds_own_activation(t):
    one = site(t, BySystemd)
    check_eq([s.runs for s in one.servers], [False, False])
    check_eq(one.get().header("x-instance"), "one")
    check_eq([s.runs for s in one.servers], [True, False])
