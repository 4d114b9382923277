"""Idle connections to backends that have TLS end with close_notify."""

import ssl

from e2e_410_tls_backends import *


def test_an_idle_connection_says_goodbye(t):
    site = Site(t)
    ends = []

    def over_tls(conn, b):
        tls = site.ca.server(site.cert).wrap_socket(conn, server_side=True, suppress_ragged_eofs=False)
        with contextlib.closing(tls):
            Reader(tls).until(b"\r\n\r\n")
            tls.sendall(answer(body=b"ok"))
            try:
                ends.append(tls.recv(1))
            except (ssl.SSLError, OSError) as e:
                ends.append(e)
    s, front = start(t, [t.backend(over_tls)],
                     pool=NO_CHECKS + 'timeouts = { backend_idle = "200ms"; };' + site.tls())
    check_eq(fetch(front, "/").body, b"ok")
    wait_until(lambda: len(ends) == 1, "its time is over")
    check_eq(ends, [b""], "how it ended")
    check_eq(fetch(front, "/").body, b"ok")
    s.terminate()
    wait_until(lambda: len(ends) == 2, "the process has ended")
    check_eq(ends[1], b"", "how it ended")
