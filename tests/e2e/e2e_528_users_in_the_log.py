"""Who has authenticated is in the access log."""

import json

from e2e_385_http_filters import *


def logged(t, form, **kw):
    return with_users(t, top='workers = 1; log = { format = \'\'; };'.replace("''", '"%s"' % form), **kw)


def test_the_user_of_basic_auth_is_logged(t):
    for form, found in (("combined", lambda line: line.split()[2]),
                        ("json", lambda line: json.loads(line)["user"] or "-"),
                        ("$user $status", lambda line: line.split()[0])):
        s, front, b = logged(t, form)
        for n in range(2):  # checked by its hash, then remembered
            check_eq(fetch(front, "/%d" % n, headers=[basic("alice", "open sesame")]).status, 200)
        check_eq(fetch(front, "/wrong", headers=[basic("alice", "wrong")]).status, 401)
        check_eq(fetch(front, "/nobody").status, 401)
        wait_until(lambda: len(s.access.splitlines()) == 4, "four lines")
        check_eq([found(line) for line in s.access.splitlines()], ["alice", "alice", "-", "-"], form)
        s.terminate()
