"""What the dashboard's buttons do, and who may press them."""

import urllib.parse

from e2e_530_dashboard import *

ADMIN = 'level = "admin";'


def change(admin, token, origin=None, headers=(), **form):
    """The answer to a button of the page."""
    body = urllib.parse.urlencode(form).encode()
    fields = ["Host: %s:%d" % admin, "Origin: " + (origin or "http://%s:%d" % admin), "Sec-Fetch-Site: same-origin",
              "Content-Type: application/x-www-form-urlencoded", *headers]
    if token:
        fields.append("X-Sluice-Token: " + token)
    return ask(admin, "/dashboard/change", fields, "POST", body)


def token_of(admin):
    with Stream(admin) as stream:
        hello = stream.next("hello")
    check_eq((hello["level"], hello["may_change"], len(hello["token"])), ("admin", True, 32))
    return hello["token"]


def state_of(admin, name):
    with Stream(admin) as stream:
        return [o for o in stream.next("state")["objects"] if o.get("name") == name][0]


def test_each_change_is_done_and_told(t):
    s, front, admin = start_admin(t, [t.backend(app(by_name)), t.backend(app(by_name))], more=ADMIN)
    token = token_of(admin)
    for form, state in ((dict(verb="maint", reason="a kernel; \\ \"update\" <b>\n2"), "maint"), (dict(verb="drain", reason=""), "drain"),
                        (dict(verb="ready"), "nocheck"), (dict(verb="weight", weight="7"), "nocheck")):
        r = change(admin, token, pool="app", backend="b1", **form)
        check_eq((r.status, r.body.strip()), (200, b""), form)
        b1 = state_of(admin, "b1")
        check_eq(b1["state"], state)
        check_eq(b1["reason"], "a kernel; \\ \"update\" <b>?2" if form["verb"] == "maint" else "")
    check_eq(b1["weight"], 7)
    check_eq(state_of(admin, "b2")["state"], "nocheck")
    for what in (r'put in maintenance over the dashboard by \S+: a kernel; .*<b>\?2', r"draining over the dashboard by \S+$",
                 r"made ready over the dashboard by \S+$", r"weight 1 changed to 7 over the dashboard by \S+$"):
        s.wait_log("backend app/b1: " + what)
    events = json.loads(ask(admin, "/api/v1/events").body)
    check_eq(len([e for e in events if e["kind"] == "change" and "over the dashboard by 127." in e["text"]]), 4, "audit")


def test_only_a_page_of_ours_may(t):
    s, front, admin = start_admin(t, more=ADMIN)
    token, form = token_of(admin), dict(pool="app", backend="b1", verb="maint")
    own = "http://%s:%d" % admin
    for token_sent, origin, headers, why in (
            (None, None, (), "token"), (token[:-1] + ("0" if token[-1] != "0" else "1"), None, (), "token"), (token + "0", None, (), "token"),
            (token, "http://evil.example", (), "Origin"), (token, "null", (), "Origin"), (token, own + "0", (), "Origin"),
            (token, own + ".evil.example", (), "Origin"), (token, "file://", (), "Origin"),
            (token, None, ("Sec-Fetch-Site: cross-site",), "Sec-Fetch-Site"), (token, None, ("Sec-Fetch-Site: same-site",), "Sec-Fetch-Site"),
            (token, None, ("Sec-Fetch-Site: none",), "Sec-Fetch-Site")):
        r = change(admin, token_sent, origin, headers, **form)
        check_eq(r.status, 403, why)
        check_in(why, r.body.decode())
    s.wait_log(r"admin: 127\.\S+: a change of the dashboard is refused: another site's page")
    check_eq(ask(admin, "/dashboard/change", ["Host: evil.example", "X-Sluice-Token: " + token], "POST", b"x=1").status, 421)
    check_eq(ask(admin, "/dashboard/change").status, 405)
    check_eq(state_of(admin, "b1")["state"], "nocheck", "nothing was done")
    check_eq(change(admin, token, **form).status, 200)


def test_what_is_asked_must_make_sense(t):
    s, front, admin = start_admin(t, more=ADMIN)
    token = token_of(admin)
    for form, status in ((dict(pool="app", backend="b1"), 400), (dict(pool="app", backend="b1", verb="destroy"), 400),
                         (dict(pool="app", backend="nobody", verb="drain"), 404), (dict(pool="#3", backend="b1", verb="drain"), 404),
                         (dict(pool="app", backend="b1", verb="weight"), 400), (dict(pool="app", backend="b1", verb="weight", weight="257"), 400),
                         (dict(pool="app", backend="b1", verb="weight", weight="-1"), 400),
                         (dict(pool="app", backend="b1", verb="weight", weight="50%"), 400),
                         (dict(pool="app", backend="b1", verb="maint", reason="x" * 2000), 400)):
        check_eq(change(admin, token, **form).status, status, form)
    check_eq((state_of(admin, "b1")["state"], state_of(admin, "b1")["weight"]), ("nocheck", 1))


def test_a_lower_level_only_looks(t):
    s, front, admin = start_admin(t, more='level = "operator";')
    with Stream(admin) as stream:
        check_eq(stream.next("hello"), {"level": "operator", "may_change": False, "token": ""})
    r = change(admin, "0" * 32, pool="app", backend="b1", verb="maint")
    check_eq(r.status, 403)
    check_in("admin.level", r.body.decode())
