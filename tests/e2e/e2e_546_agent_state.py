"""What an agent said last outlives a reload, a restart and an upgrade: neither lost, nor anybody revived by them."""

from e2e_545_state import again, wait_state
from upgrade_tools import *

from agent_tools import *

COLUMNS = ("srv_op_state", "srv_admin_state", "srv_uweight", "srv_iweight", "srv_agent_state", "srv_agent_addr", "srv_agent_port")
SLOW_RISE = 'type = "tcp"; interval = "50ms"; fall = 1; rise = 1000;'


def columns(s, name="b1"):
    lines = s.ctl("show servers state app").splitlines()
    names = lines[1].split()[1:]
    rows = [dict(zip(names, line.split())) for line in lines[2:] if line]
    return [r[k] for r in rows for k in COLUMNS if r["srv_name"] == name]


def silent(s, agent):
    """From now on it closes without a word."""
    agent.line = None
    wait_until(lambda: row(s)["agent_status"] == "L7RSP", "it says nothing any more")


def with_file(t):
    return lambda text: 'state_file = "%s";\n' % t.path("state") + text


def restarted(t, s):
    wait_state(t, r"^backend app/b1 .*agent_")
    return again(t, s)


def followed(t, s):
    n = upgraded(t, s)
    s.wait_end()
    return n


def reloaded(t, s):
    text = conf_of(s)
    with open(s.conf_path, "w") as f:
        f.write(re.sub(r'timeout = "(\d+)ms"', lambda m: 'timeout = "%dms"' % (int(m[1]) + 1), text))
    check_in("reloaded", s.ctl("reload"))
    return s


def survives(t, change, next_one):
    s, agent, listen = with_agent(t, b"down 50% # why\n", health=SLOW_RISE, change=change)
    other = Agent(t, b"down 50% # why\n", address=(t.other_ip, t.port()))
    wait_until(lambda: row(s)["status"] == "DOWN (agent)", "down")
    for command in ("weight app/b1 10", "server app/b1 agent-addr %s port %d" % (t.other_ip, other.port),
                    r"server app/b1 agent-send b1\\n"):
        s.ok("set " + command)
    wait_until(lambda: b"b1\n" in other.asked, "the other one is asked")
    silent(s, other)
    before = columns(s)
    check_eq(before, ["0", "0", "5", "1", "22", t.other_ip, str(other.port)])
    seen = len(s.log)
    n = next_one(t, s)
    asked = other.count
    wait_until(lambda: other.count > asked + 3 and row(n)["agent_status"] == "L7RSP", "it is asked again")
    check_eq((row(n)["status"], columns(n)), ("DOWN (agent)", before), "it is as it was")
    check_eq({who(listen) for _ in range(10)}, {"b2"})
    check("app/b1 is UP" not in n.log[seen if n is s else 0:], "it was never revived:\n" + n.log)
    other.line = b"up\n"
    n.wait_status("app", "b1", "UP")  # although checks would want 1000 passes: it was not them who took it down
    check_eq(columns(n)[:3], ["2", "0", "5"], "what it does not say anything of stays")
    check_eq(other.asked[-1], b"b1\n")


def test_down_and_weight_over_a_restart(t):
    survives(t, with_file(t), restarted)


def test_down_and_weight_over_an_upgrade(t):
    survives(t, None, followed)


def test_down_and_weight_over_a_reload(t):
    survives(t, None, reloaded)


def test_drain_and_maintenance_and_a_limit(t):
    s, agent, listen = with_agent(t, b"drain maxconn:7 75%\n", change=with_file(t))
    s.wait_status("app", "b1", "DRAIN")
    wait_until(lambda: row(s)["slim"] == "7", "a limit")
    silent(s, agent)
    before = columns(s)
    check_eq(before[:3], ["2", "8", "1"])
    for next_one in (restarted, followed, reloaded):
        s = next_one(t, s)
        check_eq((row(s)["status"], row(s)["slim"], columns(s)), ("DRAIN", "7", before), next_one.__name__)
        check_eq({who(listen) for _ in range(10)}, {"b2"})
    agent.line = b"maint\n"
    s.wait_status("app", "b1", "MAINT")
    check_in("its agent says so", s.ctl("show servers state app json"))
    silent(s, agent)
    for next_one in (restarted, followed, reloaded):
        s = next_one(t, s)
        check_eq(row(s)["status"], "MAINT", next_one.__name__)
        check_in("its agent says so", s.ctl("show servers state app json"))
    agent.line = b"ready 100%\n"
    s.wait_status("app", "b1", "UP")
    wait_until(lambda: {who(listen) for _ in range(10)} == {"b1", "b2"}, "both are used")


def test_without_checks_too(t):
    s, agent, listen = with_agent(t, b"down\n", health='type = "none";', change=with_file(t))
    wait_until(lambda: row(s)["status"] == "DOWN (agent)", "down")
    silent(s, agent)
    for next_one in (restarted, followed, reloaded):
        s = next_one(t, s)
        check_eq(row(s)["status"], "DOWN (agent)", next_one.__name__)
        check_eq({who(listen) for _ in range(10)}, {"b2"})


def test_who_has_no_agent_any_more_is_what_checks_say(t):
    s, agent, listen = with_agent(t, b"down 50%\n", health=SLOW_RISE, change=with_file(t))
    wait_until(lambda: row(s)["status"] == "DOWN (agent)", "down")
    wait_state(t, r"^backend app/b1 oper=up .*agent_says=down agent_weight=50,100")
    n = again(t, s, lambda text: re.sub(r"agent = \{.*\n", "", text))
    n.wait_status("app", "b1", "UP")
    check("app/b1 is DOWN" not in n.log, "it never was down:\n" + n.log)


def test_what_is_too_old_is_not_believed(t):
    s, agent, listen = with_agent(t, b"down 50%\n", change=lambda text: 'state_max_age = "1m";\n' + with_file(t)(text))
    wait_until(lambda: row(s)["status"] == "DOWN (agent)", "down")
    s.ok(r"set server app/b1 agent-send b1")
    s.terminate()
    with open(t.path("state")) as f:
        text = f.read()
    with open(t.path("state"), "w") as f:
        f.write(re.sub(r"written \d+", "written %d" % (time.time() - 3600), text))
    agent.line = None
    agent.asked.clear()
    n = again(t, s)
    n.wait_status("app", "b1", "UP")
    wait_until(lambda: b"b1" in agent.asked, "what was set is no matter of health")


def test_who_is_not_asked_is_never_asked_by_the_next(t):
    s, agent, listen = with_agent(t, b"up\n", change=with_file(t))
    wait_until(lambda: row(s)["agent_status"] == "L7OK", "asked")
    s.ok("disable agent app/b1")
    wait_state(t, r"^backend app/b1 .* agent=off")
    agent.line, agent.count = b"drain\n", 0
    for next_one in (restarted, followed, reloaded):
        s = next_one(t, s)
        check_eq(columns(s)[4], "18", "configured, not enabled, as HAProxy's bits")
        check_eq((row(s)["status"], agent.count), ("UP", 0), next_one.__name__)
