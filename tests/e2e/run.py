#!/usr/bin/python3
"""run.py [-k REGEX] [--engine uring|epoll] [-j N] [--sluice BINARY] [--stacks] [FILE...] - runs the end-to-end tests.

Each test function of each e2e_*.py (--stacks: of each ../stacks/stack_*.py) runs on both engines, in a process and a folder of its own, one
more at a time than there are processors, as most of them wait. One line per test; a failure prints its traceback and the tails of all logs. At the end
`N passed, N failed`; exit status 1 when something failed. `--keep` leaves the folders.
"""

import argparse
import contextlib
import glob
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import harness  # noqa: E402


def load(path):
    sys.path.insert(1, os.path.dirname(path))  # tools that stand beside it
    spec = importlib.util.spec_from_file_location(os.path.basename(path)[:-3], path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tests_of(path):
    """Names of the test functions, in the order they stand in the file, without importing it."""
    with open(path) as f:
        return re.findall(r"^def (test_\w+)\(", f.read(), re.M)


def name_of(path):
    """As it stands in a test's title: without the prefix that all files of its kind have."""
    return re.sub(r"^(e2e|stack)_", "", os.path.basename(path)[:-3])


def run_one(args):
    """In the child: one test, one engine. Exit status 0 passed, 1 failed, 77 skipped."""
    harness.allow_many_files()
    module = load(args.one[0])
    function = getattr(module, args.one[1])
    test = harness.Test(args.engine, args.dir, args.sluice, args.prefix.split())
    status = 0
    try:
        function(test)
        test.finish()
    except harness.Skip as e:
        print("skipped: %s" % e)
        status = 77
    except BaseException:
        traceback.print_exc(limit=-6, file=sys.stdout)
        status = 1
    sys.stdout.flush()
    test.clean_up()
    os._exit(status)  # without waiting for the threads of backends


def aborts_for_memory():
    """Connections that the kernel has reset for want of TCP memory; the limit is the machine's, so
    whatever else runs may cause it, and a test then sees resets that are nobody's fault."""
    try:
        with open("/proc/net/netstat") as f:
            names, values = f.readline().split(), f.readline().split()
        return int(values[names.index("TCPAbortOnMemory")])
    except (OSError, ValueError, IndexError):
        return 0


class Running:
    def __init__(self, args, path, name, engine, timeout):
        self.title = "%s %s %s" % (name_of(path), name[5:], engine)
        self.dir = tempfile.mkdtemp(prefix="sl-")  # short: unix socket paths go in here
        os.chmod(self.dir, 0o755)
        self.output = os.path.join(self.dir, "output")
        self.deadline = time.monotonic() + timeout
        self.started = time.monotonic()
        self.aborts = aborts_for_memory()
        with open(self.output, "wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, os.path.abspath(__file__), "--sluice", args.sluice, "--engine",
                 engine, "--dir", self.dir, "--prefix", args.prefix, "--one", path, name],
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                start_new_session=True)

    def kill(self):
        """The test's whole session, and servers that lead groups of their own: nothing of it outlives it."""
        groups = [self.process.pid]
        with contextlib.suppress(FileNotFoundError):  # it has ended, and has seen to them
            with open("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)) as f:
                groups += map(int, f.read().split())
        for pid in groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        self.process.wait()

    def text(self, name, limit):
        with open(os.path.join(self.dir, name), errors="replace") as f:
            text = f.read()
        return text if len(text) <= limit else "…" + text[-limit:]

    def logs(self):
        shown = [self.text("output", 8000)]
        for name in sorted(os.listdir(self.dir)):
            if name.endswith((".log", ".access")) and os.path.getsize(os.path.join(self.dir, name)):
                shown.append("-- %s\n%s" % (name, self.text(name, 3000)))
        return "\n".join(shown)


def main():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored, then so would ctl
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*")
    parser.add_argument("-k", default="", help="only tests whose `file name engine` matches")
    parser.add_argument("-j", type=int, default=(os.cpu_count() or 1) + 1)
    parser.add_argument("--engine", choices=("uring", "epoll"))
    parser.add_argument("--sluice", default=None)
    parser.add_argument("--prefix", default="")
    parser.add_argument("--timeout", type=int, default=120)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--stacks", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--dir", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        run_one(args)
    if args.sluice is None:
        built = [p for p in ("build-san/sluice", "build/sluice")
                 if os.path.exists(os.path.join(harness.ROOT, p))]
        args.sluice = os.path.join(harness.ROOT, built[0]) if built else "build-san/sluice"
    args.sluice = os.path.abspath(args.sluice)
    if not args.prefix and "tsan" in args.sluice and shutil.which("setarch"):
        args.prefix = "setarch -R"  # see scripts/test.sh
    pattern = os.path.join(HERE, "..", "stacks", "stack_*.py") if args.stacks else os.path.join(
        HERE, "e2e_*.py")
    paths = [os.path.abspath(p) for p in args.files or sorted(glob.glob(pattern))]
    todo = []
    for path in paths:
        for name in tests_of(path):
            for engine in ("uring", "epoll"):
                title = "%s %s %s" % (name_of(path), name[5:], engine)
                if args.engine in (None, engine) and re.search(args.k, title):
                    todo.append((path, name, engine))
    if args.list:
        for path, name, engine in todo:
            print(name_of(path), name[5:], engine)
        return 0
    if not todo:
        print("no test matches; 0 passed, 1 failed")
        return 1
    if not os.access(args.sluice, os.X_OK):
        print("%s is not there: make BUILD=san" % args.sluice)
        print("0 passed, 1 failed")
        return 1

    counts = {"ok": 0, "FAIL": 0, "skip": 0}
    running = []
    try:
        while todo or running:
            while todo and len(running) < args.j:
                path, name, engine = todo.pop(0)
                running.append(Running(args, path, name, engine, args.timeout))
            time.sleep(0.02)
            for r in list(running):
                status = r.process.poll()
                if status is None and time.monotonic() < r.deadline:
                    continue
                r.kill()
                running.remove(r)
                result = {0: "ok", 77: "skip"}.get(status, "FAIL")
                counts[result] += 1
                note = ""
                if result == "skip":
                    note = "  " + r.text("output", 300).strip().splitlines()[-1]
                elif status is None:
                    note = "  timed out"
                print("%-4s %5.1f s  %s%s" % (result, time.monotonic() - r.started, r.title, note),
                      flush=True)
                if result == "FAIL":
                    print(r.logs(), flush=True)
                    aborts = aborts_for_memory() - r.aborts
                    if aborts:
                        print("note: meanwhile the kernel reset %d connections for want of TCP memory"
                              " (net.ipv4.tcp_mem)" % aborts, flush=True)
                if not args.keep:
                    shutil.rmtree(r.dir, ignore_errors=True)
                else:
                    print("     " + r.dir)
    finally:
        for r in running:
            r.kill()
    if counts["skip"]:
        print("%d skipped" % counts["skip"])
    print("%d passed, %d failed" % (counts["ok"], counts["FAIL"]))
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())
