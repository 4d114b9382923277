#!/usr/bin/python3
"""enter_image.py SETTINGS COMMAND… - runs a command in an image's tree as a container runtime does.

SETTINGS is JSON: {"tree": folder, "mounts": {path in the tree: folder outside}, "user": [uid, gid], "env":
{}, "seccomp": what seccomp_profile.py takes, or ""}. A mount namespace with the tree as read-only root and
/proc, no capabilities, no new privileges, the user, that environment. Needs root; the process id stays.
"""

import ctypes
import json
import os
import sys

import seccomp_profile

CLONE_NEWNS = 0x20000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
libc = ctypes.CDLL(None, use_errno=True)


def done(rc, what):
    if rc != 0:
        sys.exit("enter_image.py: %s: %s" % (what, os.strerror(ctypes.get_errno())))


def mount(source, target, kind, flags):
    done(libc.mount(source.encode(), target.encode(), kind and kind.encode(), ctypes.c_ulong(flags), None),
         "mount " + target)


def main():
    settings = json.loads(sys.argv[1])
    tree, (uid, gid) = settings["tree"], settings["user"]
    profile = seccomp_profile.read(settings["seccomp"]) if settings["seccomp"] else None
    done(libc.unshare(CLONE_NEWNS), "unshare")
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    mount(tree, tree, None, MS_BIND)
    mount("proc", tree + "/proc", "proc", MS_RDONLY)
    mount("/dev", tree + "/dev", None, MS_BIND)
    for inside, outside in settings["mounts"].items():
        mount(outside, tree + inside, None, MS_BIND)
    mount("none", tree, None, MS_REMOUNT | MS_BIND | MS_RDONLY)
    os.chroot(tree)
    os.chdir("/")
    for capability in range(64):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)  # fails behind the last one
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if profile:
        seccomp_profile.take(*profile)
    else:
        done(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    os.execve(sys.argv[2], sys.argv[2:], settings["env"])


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main()
