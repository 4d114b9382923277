"""The agent check: a program beside each backend says what it thinks of it, in HAProxy's words."""

import upgrade_tools
from agent_tools import *


def test_words_take_a_backend_down_and_up(t):
    s, agent, listen = with_agent(t, b"up\n")
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
    s, agent, listen = with_agent(t, b"50%\n")
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
    s, agent, listen = with_agent(t, b"drain\n")
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
    s, agent, listen = with_agent(t, b"up 50%\n")
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
    s, agent, listen = with_agent(t, b"up\n", agent='send = "app1\\n";')
    wait_until(lambda: b"app1\n" in agent.asked, lambda: "what is sent: %s" % agent.asked[:3])
    s.ok("disable agent app/b1")
    before = agent.count
    check(holds_for(0.2, lambda: agent.count <= before + 1, "it is left alone") is None, "left alone")
    check_in("agent checks are not enabled on this server.", s.ctl("set server app/b1 agent down"))
    s.ok("enable agent app/b1")
    wait_until(lambda: agent.count > before + 2, "it is asked again")
    agent.backend.kill()
    wait_until(lambda: row(s)["agent_status"] == "L4CON", "nobody says anything else now")
    s.ok("set server app/b1 agent down")
    check_eq(row(s)["status"], "DOWN (agent)")
    s.ok("set server app/b1 agent up")
    check_eq(row(s)["status"], "UP")
    check_in("expects 'up' or 'down'", s.ctl("set server app/b1 agent sideways"))


def agent_columns(s):
    lines = s.ctl("show servers state app").splitlines()
    names = lines[1].split()[1:]
    values = [dict(zip(names, line.split())) for line in lines[2:] if line]
    return {r["srv_name"]: (r["srv_agent_addr"], int(r["srv_agent_port"])) for r in values}["b1"]


def test_another_agent_is_asked_and_in_other_words(t):
    s, agent, listen = with_agent(t, b"up\n")
    other = Agent(t, b"down # other\n", address=(t.other_ip, t.port()))
    far = Agent(t, b"down # far\n", address=(t.ip, other.port))
    wait_until(lambda: agent.count > 0, "asked where the configuration says")
    check_eq(agent_columns(s), ("-", agent.port))
    s.ok("set server app/b1 agent-port %d" % other.port)
    wait_until(lambda: "# other" in row(s)["last_agt"], "the other port, at the backend's address")
    before = agent.count
    s.ok("set server app/b1 agent-addr %s" % t.ip)
    wait_until(lambda: "# far" in row(s)["last_agt"], "the other address, at the port as set")
    check_eq(agent.count, before, "nobody asks the first one any more")
    check_eq(agent_columns(s), (t.ip, other.port))
    s.ok(r"set server app/b1 agent-send two\ words\\r\n")
    wait_until(lambda: b"two words\r\n" in far.asked, lambda: "what is sent: %s" % far.asked[-3:])
    s.ok("set server app/b1 agent-send")
    mute = far.count - len(far.asked)
    wait_until(lambda: far.count - len(far.asked) > mute + 2, "asked without a word")
    s.ok("set server app/b1 agent-addr %s port %d" % (agent.backend.address[0], agent.port))
    s.wait_status("app", "b1", "UP")
    check_eq(agent_columns(s), (agent.backend.address[0], agent.port))
    s.wait_log("its agent is asked at %s, port %d over the stats socket" % (t.ip, other.port))


def test_what_is_no_agent_is_refused_in_haproxys_words(t):
    s, agent, listen = with_agent(t, b"up\n")
    bare, _ = t.simple([t.backend(name="b1")])
    for words in ("agent-addr 127.0.0.1", "agent-port 5", "agent-send x", "agent up"):
        check_in("agent checks are not enabled on this server", bare.ctl("set server app/b1 " + words))
    for words, said in (("agent-addr", "set server <b>/<s> agent-addr requires an address and optionally a port."),
                        ("agent-addr nowhere", "invalid addr 'nowhere'"),
                        ("agent-addr 127.0.0.1:80", "invalid addr '127.0.0.1:80'"),
                        ("agent-addr 127.0.0.1 port", "provided port is not an integer"),
                        ("agent-addr 127.0.0.1 port 70000", "provided port is invalid"),
                        ("agent-addr 127.0.0.1 prt 7", "found 'prt' behind the address, expected 'port'"),
                        ("agent-port", "set server <b>/<s> agent-port requires a port."),
                        ("agent-port x", "provided port is not an integer"),
                        ("agent-port -1", "provided port is invalid"),
                        ("agent-port 0", "provided port is invalid"),
                        (r"agent-send a\q", r"found '\q', expected text"),
                        (r"agent-send a\x00", r"found '\x00', expected text"),
                        ("agent-send " + 257 * "x", "found more than 256 bytes"),
                        ("agent-sand", "addr | agent | agent-addr | agent-port | agent-send |")):
        check_in(said, s.ctl("set server app/b1 " + words))
    check_eq(agent_columns(s), ("-", agent.port), "nothing has changed")


def test_a_reload_keeps_what_was_set_unless_the_file_changes_it(t):
    s, agent, listen = with_agent(t, b"up\n", agent='send = "one\\n";')
    other = Agent(t, b"down\n", address=(t.other_ip, t.port()))
    s.ok("set server app/b1 agent-port %d" % other.port)
    s.ok(r"set server app/b1 agent-send two\n")
    wait_until(lambda: b"two\n" in other.asked and row(s)["status"] == "DOWN (agent)", "the other one")
    with open(s.conf_path) as f:
        text = f.read()

    def reload(new):
        with open(s.conf_path, "w") as f:
            f.write(new)
        check_in("reloaded", s.ctl("reload"))
    reload(text.replace('timeout = "500ms";', 'timeout = "400ms";'))
    s.wait_log("backend app/b1: its agent stays as set at run time")
    other.asked.clear()
    wait_until(lambda: b"two\n" in other.asked, "still the other one, in the words set")
    reload(text.replace('send = "one\\n"', 'send = "three\\n"'))
    s.wait_log("backend app/b1: its agent is as the file says now, in place of what was set at run time")
    wait_until(lambda: b"three\n" in other.asked, "the port as set, the words of the file")
    start_ = text.index("agent = {")
    reload(text[:start_] + text[text.index("\n", start_):])
    s.wait_status("app", "b1", "UP")
    reload(text)
    agent.asked.clear()
    wait_until(lambda: b"one\n" in agent.asked, "all as in the file")


def test_a_reload_changes_and_removes_it(t):
    s, agent, listen = with_agent(t, b"down # busy\n")
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
    s, agent, listen = with_agent(t, b"up\n")
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
