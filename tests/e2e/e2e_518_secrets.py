"""Secrets of the configuration are shown to nobody: -T, show config, show diff, errors."""

from http_tools import *
from reload_tools import rewrite

TOKEN, COOKIE, PASSWORD = "admin-token-0123456789", "cookie-secret-0123456789", "database-password"


def test_secrets_are_not_shown(t):
    def conf(listen, cookie=COOKIE, token=TOKEN):
        return """workers = 1; admin = { bind = "%s"; token = "%s"; };
            pools = ( { name = "app"; mode = "http"; health = { type = "none"; };
                        sticky = { cookie = "c"; secret = "%s"; };
                        backends = ( { name = "a"; address = "%s"; } ); },
                      { name = "db"; mode = "tcp"; backends = ( { name = "a"; address = "%s"; } );
                        health = { type = "postgres"; user = "u"; password = "%s"; }; } );
            listeners = ( { name = "l"; mode = "http"; bind = "%s"; routes = ( { pool = "app"; } ); } );
            """ % (where(admin), token, cookie, where(t.closed_address()), where(t.closed_address()),
                   PASSWORD, where(listen))
    listen, admin = t.address(), t.address()
    s = t.sluice(conf(listen), ready=False)
    wait_until(lambda: os.path.exists(s.stats_path), "its stats socket")
    status, out, err = t.run("-T", "-c", s.conf_path)
    check_eq(status, 0, err)
    for text in (out, s.ctl("show config")):
        for secret in (TOKEN, COOKIE, PASSWORD):
            check(secret not in text, secret, text)
        for hidden in ('token = "…";', 'secret = "…";', 'password = "…";'):
            check_in(hidden, text)
    rewrite(s, lambda text: text.replace(COOKIE, "another-secret-0123456789"))
    diff = s.ctl("show diff")
    check_in("pools[app]: the file has another secret than what is running", diff)
    check("0123456789" not in diff, "no secret", diff)
    with open(t.path("short.conf"), "w") as f:
        f.write(conf(listen, token="too-short"))
    status, out, err = t.run("-t", "-c", t.path("short.conf"))
    check_eq(status, 1)
    check_in("admin.token: found a text of 9 bytes", err)
    check("too-short" not in err, "no secret", err)
