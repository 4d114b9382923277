"""The container image, without a container runtime: its tree is laid out by the script that the Dockerfile
runs, and run in as a runtime would (tests/support/enter_image.py): read-only root, the image's user, its
environment, its health check, its signal, under the seccomp profile of etc/seccomp and under one that forbids
io_uring as the runtimes' own do."""

import platform
import signal

from servers import *

DOCKERFILE = os.path.join(ROOT, "etc", "docker", "Dockerfile")
PROFILE = os.path.join(ROOT, "etc", "seccomp", "sluice.json")
ENTER = os.path.join(ROOT, "tests", "support", "enter_image.py")
FORBIDDEN = ",-io_uring_setup,-io_uring_enter,-io_uring_register"


def instructions():
    """{instruction: [arguments]} of the Dockerfile's last stage, and the commands of the first."""
    with open(DOCKERFILE) as f:
        lines = [line.split(None, 1) for line in f.read().replace("\\\n", " ").splitlines()
                 if line.strip() and not line.startswith("#")]
    last = max(i for i, line in enumerate(lines) if line[0] == "FROM")
    found = {}
    for word, rest in lines[last:]:
        found.setdefault(word, []).append(rest)
    return found, [rest for word, rest in lines[:last] if word == "RUN"]


class Image:
    def __init__(self, t):
        if os.geteuid() != 0:
            raise Skip("needs root for its mounts")
        self.t, (self.last, runs) = t, instructions()
        check_in("etc/docker/image-tree.sh /image", runs)
        check_eq(self.last["COPY"], ["--from=build /image/ /"])
        self.tree, self.run, self.user = t.path("tree"), t.path("run"), self.last["USER"][0].split(":")
        made = subprocess.run([os.path.join(ROOT, "etc/docker/image-tree.sh"), self.tree, t.binary],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        check_eq((made.returncode, made.stdout), (0, b""))
        os.mkdir(self.run)
        os.chown(self.run, *map(int, self.user))

    def command(self, args, env, seccomp=PROFILE, mounts=None):
        if platform.machine() != "x86_64":
            seccomp = ""  # the numbers are known for x86-64 only
        full = dict(pair.split("=", 1) for pair in self.last["ENV"])
        if self.t.sanitized:
            full["ASAN_OPTIONS"] = "detect_leaks=0"  # it would trace itself
        settings = {"tree": self.tree, "user": list(map(int, self.user)), "env": dict(full, **env),
                    "mounts": dict({"/run/sluice": self.run}, **(mounts or {})), "seccomp": seccomp}
        return [sys.executable, ENTER, json.dumps(settings), *args]

    def start(self, env, **kw):
        """A container without words: its stats socket is seen from outside."""
        self.t.prefix = self.command([], env, **kw)
        self.t.binary, = json.loads(self.last["ENTRYPOINT"][0])
        s = self.t.sluice(None, wait=False)
        s.stats_path = os.path.join(self.run, "stats.sock")
        wait_until(s.answers, lambda: "the stats socket answers; log:\n" + s.log)
        wait_until(lambda: self.health(env)[0] == 0, lambda: "healthy: %r" % (self.health(env),))
        s.baseline = s.settled_fds()
        return s

    def health(self, env):
        """What the health check says: (status, text)."""
        check_match(r"^(--\w+(-\w+)?=\w+ )+CMD \[", self.last["HEALTHCHECK"][0])
        words = json.loads(self.last["HEALTHCHECK"][0].split("CMD", 1)[1])
        done = subprocess.run(self.command(words, env), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout.decode()


def sidecar(t, backends, **more):
    front = t.address()
    return front, dict({"SLUICE_LISTEN": where(front), "SLUICE_IO": t.engine, "SLUICE_MODE": "http",
                        "SLUICE_BACKENDS": ",".join(where(b.address) for b in backends)}, **more)


def test_the_image_is_small_and_holds_what_is_needed(t):
    image = Image(t)
    found = {os.path.relpath(os.path.join(folder, name), image.tree): os.path.join(folder, name)
             for folder, _, names in os.walk(image.tree) for name in names}
    check("usr/sbin/sluice" in found, "the binary is there", sorted(found))
    check(not [f for f in found if f.endswith(("/sh", "/bash", "/dpkg"))], "no shell")
    if not t.sanitized:
        size = sum(os.lstat(path).st_size for path in found.values())
        check(size < 40 << 20, "its size", size)
    packages = os.listdir(os.path.join(image.tree, "var/lib/dpkg/status.d"))
    check(any(p.startswith("libssl3") for p in packages), "scanners find what is in it", packages)


def test_it_runs_read_only_as_its_user_from_the_environment(t):
    image = Image(t)
    a, b = t.backend(app(by_name)), t.backend(app(by_name))
    front, env = sidecar(t, [a, b], SLUICE_HEALTH_PATH="/healthz")
    s = image.start(env)
    check_eq({fetch(front).body for _ in range(4)}, {b"b1", b"b2"})
    with open("/proc/%d/status" % s.pid) as f:
        status = f.read()
    check_match(r"^Uid:\s+(\d+)\s+\1\s+\1\s+\1", status)
    check(int(re.search(r"^Uid:\s+(\d+)", status, re.M).group(1)) == int(image.user[0]) > 0, "its user")
    check_match(r"^CapEff:\s+0+$", status)
    check_match("GET / HTTP", s.wait_access("GET / HTTP").group())
    check_eq(image.last["STOPSIGNAL"], ["SIGTERM"])
    s.check_quiet()
    s.terminate(signal.SIGTERM)
    status, text = image.health(env)
    check_eq(status, 1, text)


def test_the_profile_gives_io_uring_and_without_it_epoll_serves(t):
    image = Image(t)
    front, env = sidecar(t, [t.backend(app(by_name))], SLUICE_IO="auto")
    s = image.start(env, seccomp=PROFILE + (FORBIDDEN if t.engine == "epoll" else ""))
    check_in("engine io_uring: available" if t.engine == "uring" else
             "engine epoll: io_uring is not available: io_uring_setup: Operation not permitted", s.log)
    check_eq(fetch(front).body, b"b1")


def test_a_mounted_file_is_used_instead(t):
    image = Image(t)
    b = t.backend(app(by_name))
    front, env = sidecar(t, [])
    os.mkdir(t.path("etc"))
    with open(t.path("etc/sluice.conf"), "w") as f:
        f.write('stats = { socket = "/run/sluice/stats.sock"; }; workers = 1; io = "%s";\n' % t.engine)
        f.write('pools = ( { name = "app"; mode = "http"; backends = ( { name = "b1"; address = "%s"; } ); } );'
                'listeners = ( { name = "web"; mode = "http"; bind = "${SLUICE_LISTEN}"; pool = "app"; } );'
                % where(b.address))
    s = image.start(env, mounts={"/etc/sluice": t.path("etc")})
    check_in("starts with /etc/sluice/sluice.conf", s.log)
    check_eq(fetch(front).body, b"b1")
