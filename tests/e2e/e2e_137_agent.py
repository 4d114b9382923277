"""The agent check: a program beside each backend says what it thinks of it, in HAProxy's words."""

import contextlib

import upgrade_tools
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


def start(t, line, agent="", n=2, health='type = "tcp"; interval = "50ms"; fall = 1; rise = 1;'):
    """(sluice, agent of b1, address in front); b1 has an address of its own, so b2 has no agent."""
    backends = [t.backend(name="b%d" % (i + 1), address=(t.ip if i else t.other_ip, t.port())) for i in range(n)]
    agent_ = Agent(t, line, address=(backends[0].address[0], t.port()))
    listen = t.address()
    s = t.sluice('pools = ( { name = "app"; mode = "tcp"; health = { %s };\n'
                 'agent = { port = %d; interval = "30ms"; timeout = "500ms"; %s };\n backends = (%s); } );\n'
                 'listeners = ( { name = "l"; mode = "tcp"; bind = "%s"; pool = "app"; } );' % (
                     health, agent_.port, agent, t.backend_list(backends), where(listen)))
    return s, agent_, listen


def row(s, name="b1"):
    return s.stat()[("app", name)]


def test_words_take_a_backend_down_and_up(t):
    s, agent, listen = start(t, b"up\n")
    s.wait_status("app", "b1", "UP")
    agent.line = b"down # disk is full\n"
    wait_until(lambda: row(s)["status"] == "DOWN (agent)", lambda: "it is down: " + row(s)["status"])
    check_eq({who(listen) for _ in range(10)}, {"b2"}, "nobody gets there")
    check_in("disk is full", row(s)["last_agt"])
    check_eq((row(s)["agent_status"], row(s)["agent_desc"], row(s)["agent_health"]), ("L7OK", "Layer7 check passed", "0"))
    check_eq(row(s)["check_status"].lstrip("* "), "L4OK", "checks pass all the time")
    s.wait_log("backend app/b1 is DOWN: agent: down # disk is full")
    agent.line = b"up\n"
    s.wait_status("app", "b1", "UP")
    wait_until(lambda: {who(listen) for _ in range(10)} == {"b1", "b2"}, "both are used")
    for word in (b"stopped", b"fail", b"FAILED"):  # no end of a line: the end of the stream will do
        agent.line = word
        wait_until(lambda: row(s)["status"] == "DOWN (agent)", word)
        agent.line = b"up"
        s.wait_status("app", "b1", "UP")


def test_figures_change_weight_and_limit(t):
    s, agent, listen = start(t, b"50%\n")
    wait_until(lambda: s.number("app", "b1", "throttle") == 50 or row(s)["weight"] == "1", "half of its weight")
    check_eq(s.ctl("set weight app/b1 10").strip(), "")
    wait_until(lambda: row(s)["weight"] == "5", lambda: "5 of 10: " + row(s)["weight"])
    agent.line = b"0%\n"
    wait_until(lambda: row(s)["weight"] == "0", "no weight")
    check_eq({who(listen) for _ in range(10)}, {"b2"})
    agent.line = b"100%, maxconn:7\r\n"
    wait_until(lambda: (row(s)["weight"], row(s)["slim"]) == ("10", "7"), "all of it, and a limit")
    agent.line = b"maxconn:0 nonsense"
    wait_until(lambda: row(s)["slim"] == "", "no limit")


def test_a_weight_is_exact_and_its_time_a_metric(t):
    admin = t.address()
    backend = t.backend(name="b1")
    agent = Agent(t, b"weight:1\n")
    s = t.sluice('admin = { bind = "%s"; };\npools = ( { name = "app"; mode = "tcp";\n'
                 'agent = { address = "%s"; interval = "30ms"; };\n'
                 'backends = ( { name = "b1"; address = "%s"; weight = 256; } ); } );\n'
                 'listeners = ( { name = "l"; mode = "tcp"; bind = "%s"; pool = "app"; } );' % (
                     where(admin), where(agent.backend.address), where(backend.address), where(t.address())))
    s.wait_log("backend app/b1: a weight of 1, its agent says")
    wait_until(lambda: row(s)["weight"] == "1", lambda: "1 of 256: " + row(s)["weight"])
    agent.line = b"weight:255\n"
    wait_until(lambda: row(s)["weight"] == "255", lambda: "255 of 256: " + row(s)["weight"])
    with connect(admin) as c:
        c.sendall(b"GET /metrics?compat=haproxy HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        body = recv_all(c).decode()
    check_match(r'haproxy_server_agent_duration_seconds\{[^}]*server="b1"[^}]*\} [0-9.]+', body)


def test_words_drain_and_maintain_as_commands_do(t):
    s, agent, listen = start(t, b"drain\n")
    s.wait_status("app", "b1", "DRAIN")
    agent.line = b"maint\n"
    s.wait_status("app", "b1", "MAINT")
    s.wait_log("backend app/b1: maintenance, its agent says")
    agent.line = b"ready\n"
    s.wait_status("app", "b1", "UP")
    agent.line = b"up\n"
    s.ok("set server app/b1 state drain")
    s.wait_status("app", "b1", "DRAIN")
    before = agent.count
    wait_until(lambda: agent.count > before + 3, "it is asked again")
    check_eq(row(s)["status"], "DRAIN", "what it does not say it does not change")


def test_an_agent_that_cannot_be_asked_changes_nothing(t):
    s, agent, listen = start(t, b"up 50%\n")
    wait_until(lambda: row(s)["agent_status"] == "L7OK", "it was asked")
    agent.line = None
    wait_until(lambda: row(s)["agent_status"] == "L7RSP", "closed without a word")
    s.wait_log("its agent cannot be asked, what it said last stays: agent: closed without a word")
    agent.line = b"who are you?\n"
    wait_until(lambda: "nothing that is understood" in row(s)["last_agt"], "words that nobody knows")
    agent.line = b"down\n"
    wait_until(lambda: row(s)["status"] == "DOWN (agent)", "down")
    agent.backend.kill()
    wait_until(lambda: row(s)["agent_status"] == "L4CON", "gone")
    check_eq(row(s)["status"], "DOWN (agent)", "what it said stays")
    # b2 has none at all: nothing has ever happened to it.
    check_eq((row(s, "b2")["status"], row(s, "b2")["agent_status"]), ("UP", "L4CON"))


def test_commands(t):
    s, agent, listen = start(t, b"up\n", agent='send = "app1\\n";')
    wait_until(lambda: b"app1\n" in agent.asked, lambda: "what is sent: %s" % agent.asked[:3])
    s.ok("disable agent app/b1")
    before = agent.count
    check(holds_for(0.2, lambda: agent.count <= before + 1, "it is left alone") is None, "left alone")
    s.ok("set server app/b1 agent down")
    wait_until(lambda: row(s)["status"] == "DOWN (agent)" or row(s)["status"] == "DOWN", "down")
    s.ok("set server app/b1 agent up")
    s.wait_status("app", "b1", "UP")
    s.ok("enable agent app/b1")
    wait_until(lambda: agent.count > before + 2, "it is asked again")
    check_in("expects 'up' or 'down'", s.ctl("set server app/b1 agent sideways"))


def test_a_reload_changes_and_removes_it(t):
    s, agent, listen = start(t, b"down # busy\n")
    wait_until(lambda: row(s)["status"] == "DOWN (agent)", "down")
    with open(s.conf_path) as f:
        text = f.read()

    def reload(new):
        with open(s.conf_path, "w") as f:
            f.write(new)
        check_in("reloaded", s.ctl("reload"))
    reload(text.replace('timeout = "500ms";', 'timeout = "400ms"; send = "second\\n";'))
    wait_until(lambda: b"second\n" in agent.asked, "the new question")
    check_eq(row(s)["status"], "DOWN (agent)")
    start_ = text.index("agent = {")
    reload(text[:start_] + text[text.index("\n", start_):])
    s.wait_status("app", "b1", "UP")
    check_eq(row(s)["agent_status"], "")
    reload(text)
    wait_until(lambda: row(s)["status"] == "DOWN (agent)", "again")


def test_who_is_not_asked_is_not_asked_by_the_next_process(t):
    s, agent, listen = start(t, b"up\n")
    s.wait_status("app", "b1", "UP")
    s.ok("disable agent app/b1")
    agent.line = b"down\n"
    n = upgrade_tools.upgraded(t, s)
    s.wait_end()
    check_eq((row(n)["status"], row(n)["agent_status"]), ("UP", ""))
    n.ok("enable agent app/b1")
    wait_until(lambda: row(n)["status"] == "DOWN (agent)", "it is asked again")
    n.ok("disable agent app/b1")
    n.wait_status("app", "b1", "UP")


def test_mistakes_are_told(t):
    for agent, words in (('interval = "2s";', "port: not found"), ("port = 0;", "found 0"), ('port = 1; sned = "x";', "send")):
        path = t.path("bad.conf")
        with open(path, "w") as f:
            f.write('pools = ( { name = "app"; mode = "tcp"; agent = { %s }; backends = ( { name = "b"; address = "127.0.0.1:1"; } ); } );\n'
                    'listeners = ( { name = "l"; mode = "tcp"; bind = "127.0.0.1:2"; pool = "app"; } );' % agent)
        status, _, err = t.run("-t", "-c", path)
        check_eq(status, 1, agent)
        check_in(words, err)
        check_match(r"bad\.conf:1: error: pools\[app\]\.agent", err)
