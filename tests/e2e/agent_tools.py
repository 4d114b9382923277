"""agent_tools.py - agents beside backends, in HAProxy's words."""

import contextlib

from harness import *


class Agent:
    """Says its line to whoever connects; None: closes without a word. asked: what was sent to it."""

    def __init__(self, t, line, address=None):
        self.line, self.asked, self.count = line, [], 0
        self.backend = t.backend(self.talk, address=address)
        self.port = self.backend.address[1]

    def talk(self, conn, backend):
        self.count += 1
        conn.settimeout(0.05)
        with contextlib.suppress(OSError):
            self.asked.append(conn.recv(100))
        conn.settimeout(SECONDS)
        if self.line is not None:
            conn.sendall(self.line)


def with_agent(t, line, agent="", n=2, health='type = "tcp"; interval = "50ms"; fall = 1; rise = 1;', change=None):
    """(sluice, agent of b1, address in front); b1 has an address of its own, so b2 has no agent. change: of the
    configuration."""
    backends = [t.backend(name="b%d" % (i + 1), address=(t.ip if i else t.other_ip, t.port())) for i in range(n)]
    agent_ = Agent(t, line, address=(backends[0].address[0], t.port()))
    listen = t.address()
    text = ('pools = ( { name = "app"; mode = "tcp"; health = { %s };\n'
            'agent = { port = %d; interval = "30ms"; timeout = "500ms"; %s };\n backends = (%s); } );\n'
            'listeners = ( { name = "l"; mode = "tcp"; bind = "%s"; pool = "app"; } );' % (
                health, agent_.port, agent, t.backend_list(backends), where(listen)))
    s = t.sluice(change(text) if change else text)
    return s, agent_, listen


def row(s, name="b1"):
    return s.stat()[("app", name)]
