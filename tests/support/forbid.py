#!/usr/bin/python3
"""forbid.py CALL[,CALL…] ERROR COMMAND… - runs a command in which system calls fail with an error.

For what a container profile or an old kernel does: `forbid.py io_uring_setup EPERM build/sluice -V`.
A seccomp filter does it, so it needs no rights and holds for all children; the process id stays.
"""

import ctypes
import errno
import os
import struct
import sys

# The first have the same numbers on all architectures.
CALLS = {"io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427,
         "landlock_create_ruleset": 444,
         "seccomp": {"x86_64": 317, "aarch64": 277}.get(os.uname().machine, 0)}

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38
SECCOMP_MODE_FILTER = 2
RET_ERRNO, RET_ALLOW = 0x00050000, 0x7FFF0000
LOAD_WORD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06  # of classic BPF


def program(numbers, error):
    """Per call "is it this one?", each with as far to jump as answers follow, then the two answers."""
    lines = [(LOAD_WORD, 0, 0, 0)]  # seccomp_data.nr
    for i, number in enumerate(numbers):
        lines.append((JUMP_EQUAL, len(numbers) - i, 0, number))
    lines += [(RETURN, 0, 0, RET_ALLOW), (RETURN, 0, 0, RET_ERRNO | error)]
    return b"".join(struct.pack("=HBBI", *line) for line in lines), len(lines)


class Prog(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def forbid(names, error):
    libc = ctypes.CDLL(None, use_errno=True)
    code, count = program([CALLS[name] for name in names], getattr(errno, error))
    prog = Prog(count, code)
    for args in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
                 (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(prog), 0, 0)):
        if libc.prctl(*[ctypes.c_ulong(a) if isinstance(a, int) else a for a in args]) != 0:
            sys.exit("forbid.py: prctl: " + os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    forbid(sys.argv[1].split(","), sys.argv[2])
    os.execvp(sys.argv[3], sys.argv[3:])
