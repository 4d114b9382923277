"""What an administrator installs: the Debian package (in an overlay of this system), the systemd unit,
manual pages, completion, log rotation; outside judges wherever there is one."""

import shutil
import textwrap

from servers import *

# Runs $SCRIPT in this system with an overlay above it: what it changes is gone afterwards.
OVERLAY = """
set -e
mount -t tmpfs none "$WORK"
mkdir "$WORK/upper" "$WORK/work" "$WORK/root"
mount -t overlay -o lowerdir=/,upperdir="$WORK/upper",workdir="$WORK/work" none "$WORK/root"
mount -t proc proc "$WORK/root/proc"
mount --bind /dev "$WORK/root/dev"
mkdir -p "$WORK/root/pkg"
mount --bind "$PKG" "$WORK/root/pkg"
exec chroot "$WORK/root" /bin/bash -ec "$SCRIPT"
"""


def need(program):
    path = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if not path:
        raise Skip(program + " is not installed: scripts/setup.sh stacks does it")
    return path


def output(command, status=0, **kw):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, **kw)
    text = done.stdout.decode(errors="replace")
    check_eq(done.returncode, status, "status of %s: %s\n" % (command[:4], text))
    return text


def once(t):
    """What does not depend on the engine runs once."""
    if t.engine != "uring":
        raise Skip("once is enough")


def deb(t, version="0.1.0"):
    need("dpkg-shlibdeps")
    made = output([os.path.join(ROOT, "etc/debian/build.sh"), t.binary, version, t.dir]).strip()
    return os.path.basename(made.splitlines()[-1])


def in_overlay(t, script):
    if os.geteuid() != 0:
        raise Skip("needs root for its mounts")
    os.makedirs(t.path("work"), exist_ok=True)
    env = dict(os.environ, WORK=t.path("work"), PKG=t.dir, OTHERS=os.path.dirname(t.dir), SCRIPT=textwrap.dedent(script))
    return output(["unshare", "--mount", "sh", "-c", OVERLAY], env=env)


def test_the_package_installs_upgrades_and_goes(t):
    once(t)
    first, second = deb(t), deb(t, "0.1.1")
    if subprocess.run(["dpkg", "-s", "sluice"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0:
        raise Skip("it is installed here")
    text = in_overlay(t, """
        export DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin
        # Not below the folders where other tests, which run meanwhile, have theirs.
        traces() {
            find / -xdev \\( -path /proc -o -path /pkg -o -path /tmp -o -path /var/tmp -o -path "$OTHERS" -o -path /var/lib/dpkg \\
                -o -path '/var/log/*' -o -path '/var/cache/*' \\) -prune -o \\( -name '*.dpkg-*' -o -name '*sluice*' \\) -print | sort
        }
        traces > /root/before
        dpkg -i /pkg/%s
        getent passwd sluice
        sluice -v
        sluice -t
        su -s /bin/sh sluice -c 'touch /var/log/sluice/access.log /var/lib/sluice/x'
        echo '# mine' >> /etc/sluice/sluice.conf
        dpkg -i /pkg/%s
        dpkg -s sluice | grep Version
        grep '# mine' /etc/sluice/sluice.conf
        dpkg -V sluice || true
        dpkg -r sluice
        test ! -e /usr/sbin/sluice
        test -e /etc/sluice/sluice.conf && test -e /var/log/sluice/access.log
        dpkg -P sluice
        traces > /root/after
        diff /root/before /root/after
        test ! -e /var/log/sluice && test ! -e /var/lib/sluice && test ! -e /etc/sluice
        echo nothing is left
        """ % (first, second))
    check_match(r"^sluice:x:\d+:\d+:sluice load balancer:/var/lib/sluice:/usr/sbin/nologin$", text)
    check_in("Version: 0.1.1", text)
    check_in("nothing is left", text)


def test_lintian_finds_no_errors_in_the_package(t):
    once(t)
    need("lintian")
    text = output(["lintian", "--allow-root", "--fail-on", "error", "--suppress-tags",
                   "hardening-no-bindnow,library-not-linked-against-libc", t.path(deb(t))], cwd=t.dir)
    check("E: " not in text, "errors", text)


def test_install_and_uninstall_leave_nothing(t):
    once(t)
    tree, out = t.path("tree"), t.path("build")
    os.makedirs(out)
    shutil.copy(t.binary, os.path.join(out, "sluice"))
    # -o: the binary is there and is not to be made
    make = ["make", "-C", ROOT, "-o", out + "/sluice", "OUT=" + out, "DESTDIR=" + tree, "PREFIX=/usr/local"]
    output(make + ["install"])
    for path in ("usr/local/sbin/sluice", "usr/local/share/man/man8/sluice.8", "usr/local/share/man/man1/sluice-ctl.1",
                 "usr/local/share/man/man5/sluice.conf.5", "lib/systemd/system/sluice.service",
                 "usr/local/share/bash-completion/completions/sluice", "usr/local/share/zsh/vendor-completions/_sluice",
                 "etc/logrotate.d/sluice", "etc/sluice/sluice.conf.sample", "usr/lib/sysusers.d/sluice.conf"):
        check(os.path.isfile(os.path.join(tree, path)), "installed", path)
    with open(os.path.join(tree, "lib/systemd/system/sluice.service")) as f:
        check_in("ExecStart=/usr/local/sbin/sluice", f.read())
    output(make + ["uninstall"])
    left = [os.path.join(folder, name) for folder, _, names in os.walk(tree) for name in names]
    check_eq(left, [], "left behind")


def test_systemd_likes_the_units(t):
    once(t)
    analyze = need("systemd-analyze")
    units = os.path.join(ROOT, "etc", "systemd")
    for name in ("sluice.service", "sluice.socket"):
        with open(os.path.join(units, name)) as f:
            text = f.read().replace("/usr/sbin/sluice", t.binary)
        with open(t.path(name), "w") as f:
            f.write(text)
        if name == "sluice.service":
            check_in("\nNotifyAccess=all\n", text)  # else nobody hears the process of `sluice -x`, nor has it a socket
    text = output([analyze, "verify", "--man=no", t.path("sluice.service"), t.path("sluice.socket")])
    check("sluice" not in text, "nothing is found", text)
    text = output([analyze, "security", "--no-pager", "--offline=true", t.path("sluice.service")])
    level = float(check_match(r"Overall exposure level for sluice.service: ([\d.]+)", text).group(1))
    check(level <= 2.0, "its exposure level", text)


def test_manual_pages_are_clean(t):
    once(t)
    pages = [os.path.join(ROOT, "etc/man", name) for name in ("sluice.8", "sluice.conf.5", "sluice-ctl.1")]
    need("mandoc")
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", *pages], stdout=subprocess.PIPE)
    bad = [line for line in done.stdout.decode().splitlines() if "missing date" not in line]
    check_eq(bad, [], "what mandoc warns of")
    need("man")
    for page in pages:
        done = subprocess.run(["man", "--warnings", "-l", page], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              env=dict(os.environ, LC_ALL="C.UTF-8", MANROFFSEQ="", MANPAGER="cat", MANWIDTH="80"))
        check_eq(done.stderr.decode(), "", page)


def bash_offers(t, *words):
    """What bash would offer for the last word."""
    script = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _sluice; printf "%s\\n" "${COMPREPLY[@]}"'
    return output(["bash", "-c", script, "bash", os.path.join(ROOT, "etc/completion/sluice.bash"), t.binary,
                   *words]).split()


def test_bash_completes_words_options_commands_and_names(t):
    s, _ = t.simple([t.backend(named), t.backend(named)])
    check_eq(bash_offers(t, "qu"), ["quick"])
    check_eq(bash_offers(t, "quick", "--bal"), ["--balance"])
    check_in("peak_ewma", bash_offers(t, "quick", "--balance", ""))
    check_in("set", bash_offers(t, "ctl", ""))
    check_in("servers", bash_offers(t, "ctl", "show", ""))
    check_eq(sorted(bash_offers(t, "ctl", "show", "servers", "")), ["conn", "state"])
    check_eq(bash_offers(t, "ctl", "-s", s.stats_path, "set", "server", "app/"), ["app/b1", "app/b2"])
    check_eq(bash_offers(t, "ctl", "-s", s.stats_path, "show", "servers", "state", ""), ["app"])
    check_eq(bash_offers(t, "ctl", "set", "server", "app/b1", "state", "m"), ["maint"])


ZSH = r"""
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'PS1= PROMPT_EOL_MARK=; fpath=($COMPLETION $fpath); autoload -Uz compinit; compinit -u -D; path=($BINARY:h $path); stty -echo; LISTMAX=9999; zstyle ":completion:*" list-prompt ""; print REA""DY'
zpty -r -m shell text '*READY*'
zpty -w -n shell "$LINE"$'\t'
sleep 1
zpty -w -n shell $'\x15print -r -- END''ED\n'
zpty -r -m shell text '*ENDED*'
print -r -- $text
zpty -d shell
"""


def test_zsh_completes_too(t):
    once(t)
    zsh = need("zsh")
    folder = os.path.join(ROOT, "etc", "completion")
    os.makedirs(t.path("bin"))
    os.symlink(t.binary, t.path("bin/sluice"))
    env = dict(os.environ, COMPLETION=folder, BINARY=t.path("bin/sluice"), TERM="xterm", HOME=t.dir)
    for line, expected in (("sluice health", "healthcheck"), ("sluice ctl show serv", "servers"),
                           ("sluice quick --max", "--max-connections")):
        text = output([zsh, "-f", "-c", ZSH], env=dict(env, LINE=line))
        check_in(expected, text, "completion of %r" % line)


def test_logrotate_takes_the_snippet(t):
    once(t)
    rotate = need("logrotate")
    os.mkdir(t.path("logs"))
    with open(os.path.join(ROOT, "etc/logrotate/sluice")) as f:
        text = f.read().replace("/var/log/sluice", t.path("logs")).replace("systemctl kill --kill-who=main --signal=USR1 "
                                                                  "sluice.service", "kill -USR1 $(cat %s)" % t.path("pid"))
    with open(t.path("rotate.conf"), "w") as f:
        f.write(text)
    os.chmod(t.path("rotate.conf"), 0o644)
    b, front = t.backend(named), t.address()
    log = t.path("logs/access.log")
    t.simple([b], listen=front, top='log = { access = "%s"; };' % log)
    with open(t.path("pid"), "w") as f:
        f.write(str(t.sluices[0].pid))
    check_eq(who(front), "b1")
    wait_until(lambda: os.path.getsize(log) > 0, "a line in the log")
    output([rotate, "-f", "-s", t.path("state"), t.path("rotate.conf")])
    wait_until(lambda: os.path.exists(log), "it is opened again")
    check_eq(who(front), "b1")
    wait_until(lambda: os.path.getsize(log) > 0, "it is written to")
    check(os.path.getsize(log + ".1") > 0, "the old one")
