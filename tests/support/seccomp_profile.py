#!/usr/bin/python3
"""seccomp_profile.py PROFILE[,-CALL…] COMMAND… - runs a command under a profile in Docker's format.

Makes the filter as a container runtime does: calls that no rule allows fail as the profile says. `-CALL`
takes calls out of it, e.g. `sluice.json,-io_uring_setup`. x86-64 only; numbers come from the kernel's
headers. Knows of the format what etc/seccomp/sluice.json uses, and says what it does not know.
"""

import ctypes
import json
import os
import re
import struct
import sys

HEADER = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"
AUDIT_ARCH_X86_64 = 0xC000003E
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000
LOAD, JUMP_EQUAL, AND, RETURN = 0x20, 0x15, 0x54, 0x06  # of classic BPF


def numbers():
    with open(HEADER) as f:
        return {name: int(n) for name, n in re.findall(r"#define __NR_(\w+) (\d+)", f.read())}


def answer_of(rule):
    if rule["action"] == "SCMP_ACT_ALLOW":
        return ALLOW
    if rule["action"] == "SCMP_ACT_ERRNO":
        return ERRNO | rule.get("errnoRet", 1)
    raise ValueError("action %s" % rule["action"])


def test_of(number, rule):
    """Lines that return for this call and rule, or fall through."""
    args = rule.get("args", [])
    if not args:
        return [(JUMP_EQUAL, 0, 1, number), (RETURN, 0, 0, answer_of(rule))]
    if len(args) != 1:
        raise ValueError("more than one argument")
    arg, = args
    body = [(LOAD, 0, 0, 16 + 8 * arg["index"])]  # the low half
    if arg["op"] == "SCMP_CMP_MASKED_EQ":
        body += [(AND, 0, 0, arg["value"]), (JUMP_EQUAL, 0, 1, arg["valueTwo"])]
    elif arg["op"] == "SCMP_CMP_EQ":
        body += [(JUMP_EQUAL, 0, 1, arg["value"])]
    else:
        raise ValueError("op %s" % arg["op"])
    body += [(RETURN, 0, 0, answer_of(rule)), (LOAD, 0, 0, 0)]
    return [(JUMP_EQUAL, 0, len(body), number)] + body


def program(profile, without):
    known = numbers()
    lines = [(LOAD, 0, 0, 4), (JUMP_EQUAL, 1, 0, AUDIT_ARCH_X86_64), (RETURN, 0, 0, KILL), (LOAD, 0, 0, 0)]
    for rule in profile["syscalls"]:
        for name in rule["names"]:
            if name in known and name not in without:
                lines += test_of(known[name], rule)
    lines.append((RETURN, 0, 0, answer_of({"action": profile["defaultAction"],
                                           "errnoRet": profile["defaultErrnoRet"]})))
    return b"".join(struct.pack("=HBBI", *line) for line in lines), len(lines)


class Prog(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def read(spec):
    """PROFILE[,-CALL…] as a filter: its code, how many lines."""
    path, *without = spec.split(",")
    with open(path) as f:
        return program(json.load(f), [w.lstrip("-") for w in without])


def take(code, count):
    """For this process and its children."""
    libc = ctypes.CDLL(None, use_errno=True)
    prog = Prog(count, code)
    for args in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
                 (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(prog), 0, 0)):
        if libc.prctl(*[ctypes.c_ulong(a) if isinstance(a, int) else a for a in args]) != 0:
            sys.exit("seccomp_profile.py: prctl: " + os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    take(*read(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
