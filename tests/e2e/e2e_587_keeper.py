"""The keeper: root's rights stay with a small process, which does what the configuration says and no more."""

import signal

from hardened import *

USER = 'user = "%s";' % NOBODY


def need_root():
    if os.geteuid() != 0:
        raise Skip("only root can become somebody else")


def keeper_of(s):
    return int(check_match(r"keeper \(process (\d+)\)", s.info()["Hardening"]).group(1))


def site(t, top="", **kw):
    """The test's folder is root's, and nobody else writes there; who drops root's rights may look in."""
    need_root()
    os.chmod(t.dir, 0o755)
    return t.simple([t.backend(named, name="b1")], top=USER + top, **kw)


def low_port(t):
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as f:
        if int(f.read()) <= 700:
            raise Skip("low ports are everybody's here")
    return (t.ip, 650 + t.port() % 50)


def listen_there_too(address):
    return lambda text: re.sub(r'bind = "([^"]*)"', r'bind = [ "\1", "%s" ]' % where(address), text, 1)


def gone(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return ") Z " in f.read()
    except FileNotFoundError:
        return True


def test_sluice_itself_keeps_no_right(t):
    s, front = site(t)
    for field in ("CapPrm", "CapEff", "CapInh", "CapAmb"):
        check_eq(status_of(s.pid, field), {"0" * 16}, field)
    uid = str(pwd.getpwnam(NOBODY).pw_uid)
    check_eq(status_of(s.pid, "Uid"), {"\t".join([uid] * 4)})
    keeper = keeper_of(s)
    check_eq(status_of(keeper, "Uid"), {"0\t0\t0\t0"})
    check_eq(who(front), "b1")
    s.finish()
    check(gone(keeper), "the keeper ends with it")


def test_a_low_port_comes_with_a_reload(t):
    address = low_port(t)
    s, front = site(t)
    reloaded(s, listen_there_too(address))
    check_eq([who(address), who(front)], ["b1", "b1"])
    s.baseline = s.settled_fds()


def test_a_low_port_for_the_admin_address_comes_with_a_reload(t):
    s, front = site(t)
    address = low_port(t)
    reloaded(s, lambda text: 'admin = { bind = "%s"; };\n' % where(address) + text)
    with contextlib.closing(connect(address)) as c:
        c.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        check_in(b"200 OK", recv_all(c))
    s.baseline = s.settled_fds()


def test_without_it_the_capability_stays(t):
    address = low_port(t)
    s, front = site(t, top='hardening = { keeper = "off"; };')
    check_eq(status_of(s.pid, "CapEff"), {"%016x" % (1 << 10)})
    reloaded(s, listen_there_too(address))
    check_eq(who(address), "b1")
    s.baseline = s.settled_fds()


def test_logs_in_roots_folder_are_opened_again(t):
    need_root()
    os.mkdir(t.path("log"), 0o755)
    s, _ = site(t, top='log = { output = "%s"; };' % t.path("log/sluice.log"))
    os.rename(t.path("log/sluice.log"), t.path("log/old.log"))
    s.process.send_signal(signal.SIGUSR1)
    wait_until(lambda: os.path.exists(t.path("log/sluice.log")), "it is made again")
    s.ctl("set weight app/b1 5")
    reloaded(s, lambda text: text.replace('workers = 2;', 'workers = 2; limits = { connections = 100; };'))

    def told():
        with open(t.path("log/sluice.log")) as f:
            return "reloaded from" in f.read()
    wait_until(told, "the new file is written")
    check_eq(os.stat(t.path("log/sluice.log")).st_uid, 0)


def with_page(path):
    return lambda text: text.replace('mode = "tcp"; bind', 'mode = "http"; error_pages = ( { status = 503; '
                                     'file = "%s"; } ); bind' % path).replace('"app"; mode = "tcp"', '"app"; mode = "http"')


def secret(t, path, mode=0o600):
    with open(path, "w") as f:
        f.write("only root\n")
    os.chmod(path, mode)
    return path


def test_files_of_roots_that_a_new_configuration_names(t):
    s, _ = site(t)
    os.mkdir(t.path("keys"), 0o700)
    page = secret(t, t.path("keys/503.html"))
    reloaded(s, with_page(page))
    os.chmod(s.conf_path, 0o600)  # so is the configuration itself
    reloaded(s, lambda text: text.replace("workers = 2;", "workers = 2; limits = { connections = 99; };"))


def test_a_mistake_in_a_new_file_of_roots_is_no_lack_of_rights(t):
    """It cannot be quoted, but what is said leads there."""
    s, front = site(t)
    with open(t.path("more.conf"), "w") as f:
        f.write("limits = { headers = nonsense; };\n")
    os.chmod(t.path("more.conf"), 0o600)
    said = reload(s, lambda text: text + '@include "%s"\n' % t.path("more.conf"))
    check_in("the keeper: the configuration has mistakes, so no file that is new in it is opened", said)
    check_in("`sluice -t` as root tells them all", said)
    check("hardening.paths" not in said, said)
    with open(t.path("more.conf"), "w") as f:
        f.write("limits = { headers = 100; };\n")
    check_in("reloaded: ", s.ctl("reload"))
    check_eq(who(front), "b1")


def test_a_configuration_that_others_can_change_names_nothing(t):
    s, _ = site(t)
    page = secret(t, t.path("503.html"))
    rewrite(s, with_page(page))
    os.chown(s.conf_path, pwd.getpwnam(NOBODY).pw_uid, -1)
    check_in("Permission denied", s.ctl("reload"))
    s.wait_log("the keeper: others than root can change .*sluice.conf, so nothing new is opened")
    os.chown(s.conf_path, 0, -1)
    check_in("reloaded: ", s.ctl("reload"))


def test_a_link_that_another_has_laid_leads_nowhere(t):
    s, _ = site(t)
    uid = pwd.getpwnam(NOBODY).pw_uid
    page = secret(t, t.path("secret.html"))
    os.mkdir(t.path("theirs"))
    os.symlink(page, t.path("theirs/503.html"))
    reloaded(s, with_page(t.path("theirs/503.html")))  # root's folder, root's link
    os.chown(t.path("theirs"), uid, -1)
    check_in("Permission denied", reload(s, lambda text: text + "limits = { headers = 100; };\n"))


def test_it_is_killed_and_sluice_serves_on(t):
    s, front = site(t)
    os.kill(keeper_of(s), signal.SIGKILL)
    check_eq(who(front), "b1")
    reloaded(s, lambda text: text.replace("workers = 2;", "workers = 2; limits = { connections = 99; };"))
    s.wait_log("ERROR the keeper does not answer: .*: files that only root can open and low ports are out of reach")
    check_eq(who(front), "b1")


def test_it_does_not_outlive_a_crash(t):
    s, _ = site(t)
    keeper = keeper_of(s)
    s.process.kill()
    s.process.wait()
    s.ended = True
    wait_until(lambda: gone(keeper), "the keeper has ended")


def test_it_is_required_where_there_is_nothing_to_keep(t):
    s, _ = t.simple([t.backend(named)], top='hardening = { keeper = "required"; };', wait=False)
    s.wait_end(status=1)
    check_in('hardening.keeper = "required": not available: it is for who is started as root', s.log)
