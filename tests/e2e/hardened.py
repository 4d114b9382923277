"""hardened.py - a sluice that has given up what it can, as who it may run: whoever runs the tests, or, where
that is root, somebody whom it becomes by itself (`dropped`) or was started as (`ordinary`)."""

import os
import pwd
import shutil
import tempfile

from upgrade_tools import *

NOBODY = "nobody"
FORBID = os.path.join(ROOT, "tests", "support", "forbid.py")


def own(t, name=NOBODY):
    """The test's folder, and what is in it, becomes somebody else's."""
    who = pwd.getpwnam(name)
    for path in [t.dir] + [os.path.join(t.dir, name) for name in os.listdir(t.dir)]:
        os.chown(path, who.pw_uid, who.pw_gid, follow_symlinks=False)


def as_ordinary(t):
    """Started without any right. Nothing to do where we have none."""
    if os.geteuid() != 0:
        return
    if shutil.which("setpriv") is None:
        raise Skip("no setpriv here")
    own(t)
    t.prefix = ["setpriv", "--reuid", NOBODY, "--regid", str(pwd.getpwnam(NOBODY).pw_gid), "--clear-groups",
                "--inh-caps=-all"]


def as_dropped(t):
    """Started as root; for the top of the configuration."""
    if os.geteuid() != 0:
        raise Skip("only root can become somebody else")
    own(t)
    return 'user = "%s";' % NOBODY


def status_of(pid, field):
    """Of all threads."""
    found = set()
    for task in os.listdir("/proc/%d/task" % pid):
        with contextlib.suppress(FileNotFoundError), open("/proc/%d/task/%s/status" % (pid, task)) as f:
            found.add(re.search(r"(?m)^%s:\s*(.*)$" % field, f.read()).group(1))
    return found


@contextlib.contextmanager
def elsewhere():
    """A folder that no configuration names, that everybody may use."""
    path = tempfile.mkdtemp(prefix="elsewhere-", dir="/var/tmp")
    os.chmod(path, 0o777)
    try:
        yield path
    finally:
        shutil.rmtree(path)


def landlocked(s):
    if not re.search(r"Landlock version \d+", s.info()["Hardening"]):
        raise Skip("no Landlock here")
