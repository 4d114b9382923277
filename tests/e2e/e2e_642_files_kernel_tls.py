"""Large files over TLS whose records the kernel makes (tls.kernel): what clients see is the same with and
without, and what the kernel cannot do is done in memory. Where the kernel has no TLS all of it is."""

import os
import re
import ssl
import subprocess

from certs import Authority
from e2e_520_admin_http import ask
from e2e_640_files import files_conf, start_files, tree
from http_tools import *
from tls_site import NAME, TlsClient

BIG = pattern(3 << 20)
SMALL = b"small\n" * 20
SUITES = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")


KERNEL_CAN = os.path.exists("/proc/net/tls_stat")


def by_kernel(s):
    """Connections that the kernel has made records for so far."""
    said = ask(s.admin_at, "/metrics").body.decode()
    return int(re.search(r'^sluice_listener_tls_kernel_total{.*} (\d+)$', said, re.M).group(1))


def serve(t, tls="kernel = true;"):
    """(sluice, address, authority, folder)"""
    ca = Authority(t.dir)
    cert = ca.leaf(NAME)
    root = tree(t, {"big.bin": BIG, "small.txt": SMALL})
    listen, admin = t.address(), t.address()
    text = files_conf(t, listen, '{ files = { root = "%s"; }; }' % root, listener=
                      'tls = { certificates = ( { cert = "%s"; key = "%s"; } ); %s };' % (cert.cert, cert.key, tls))
    s = start_files(t, text + 'admin = { bind = "%s"; };\n' % where(admin))
    s.admin_at = admin
    return s, listen, ca, root


def get(c, path, body, *fields):
    r = c.request(path, headers=fields)
    check_eq(r.status, 206 if fields else 200)
    check(r.body == body, "%s: the body is whole" % path, len(r.body))


def test_files_are_whole_with_each_cipher(t):
    for suite in SUITES:
        s, front, ca, _ = serve(t, 'kernel = true; ciphersuites = "%s";' % suite)
        if not KERNEL_CAN:
            s.wait_log(r"warning: .*tls.kernel: found true, but this kernel has no TLS \(module tls\)")
        with TlsClient(front, ca) as c:
            check_eq(c.s.cipher()[0], suite)
            get(c, "/small.txt", SMALL)
            check_eq(by_kernel(s), 0, "none for a small one")
            get(c, "/big.bin", BIG)
            get(c, "/small.txt", SMALL)
            get(c, "/big.bin", BIG[1000:2000000], "Range: bytes=1000-1999999")
            check_eq(c.request("/none").status, 404)
            r = c.request("/big.bin", headers=("Connection: close",))
            check(r.body == BIG, "the last one is whole", len(r.body))
            c.ends_with_close_notify()
        check_eq(by_kernel(s), 1 if KERNEL_CAN else 0, "connections by the kernel")


def test_the_end_waits_for_a_slow_reader(t):
    """What the kernel holds when the last byte is handed to it must arrive before the end."""
    _, front, ca, _ = serve(t)
    for _ in range(10):
        with TlsClient(front, ca, rcvbuf=8192) as c:
            c.send("/big.bin", headers=("Connection: close",))
            r = c.response()
            check(r.body == BIG, "it is whole", len(r.body))
            c.ends_with_close_notify()


def test_tls_1_2_is_done_in_memory(t):
    s, front, ca, _ = serve(t)
    with TlsClient(front, ca, versions=("TLSv1_2", "TLSv1_2")) as c:
        get(c, "/big.bin", BIG)
        get(c, "/small.txt", SMALL)
    check_eq(by_kernel(s), 0)


def test_several_at_once_and_resumed(t):
    _, front, ca, _ = serve(t)
    ctx, session = ca.client(), None
    for _ in range(3):
        clients = [TlsClient(front, ca, ctx=ctx, session=session) for _ in range(4)]
        for c in clients:
            c.send("/big.bin")
        for c in reversed(clients):
            r = c.response()
            check(r.body == BIG, "the body is whole", len(r.body))
        session = clients[0].s.session
        check(session is not None, "a ticket has come")
        for c in clients:
            c.close()


def test_who_leaves_in_the_middle(t):
    s, front, ca, _ = serve(t)
    for _ in range(5):
        c = TlsClient(front, ca, rcvbuf=8192)
        c.send("/big.bin")
        check_eq(c.head().status, 200)
        c.close()
    with TlsClient(front, ca) as c:
        get(c, "/big.bin", BIG)
    s.check_quiet()


def test_a_file_that_becomes_shorter(t):
    _, front, ca, root = serve(t)
    big = os.path.join(root, "big.bin")
    os.truncate(big, 64 << 20)  # more than all buffers on the way take
    with TlsClient(front, ca, rcvbuf=8192) as c:
        c.send("/big.bin")
        check_eq(c.head().status, 200)
        os.truncate(big, 1 << 20)
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while c.reader.more():
                pass
        check(len(c.reader.data) < 64 << 20, "it is cut", len(c.reader.data))
    with TlsClient(front, ca) as c:
        get(c, "/big.bin", BIG[:1 << 20])


def test_a_client_that_wants_new_keys(t):
    """The kernel's cannot be changed: the connection ends. In memory they are."""
    s, front, ca, _ = serve(t)
    request = b"GET /%s HTTP/1.1\r\nHost: " + NAME.encode() + b"\r\n%s\r\n"
    p = subprocess.Popen(["openssl", "s_client", "-connect", "%s:%d" % front, "-servername", NAME, "-CAfile", ca.cert],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    t.processes.append(p)
    out = b""

    def until(what):
        nonlocal out
        while what not in out:
            part = os.read(p.stdout.fileno(), 65536)
            check(part, "%s comes before the end" % what, out[-500:])
            out += part

    def say(data):
        p.stdin.write(data)
        p.stdin.flush()

    until(b"Verify return code: 0")
    say(request % (b"big.bin", b""))
    until(BIG[-100:])
    out = b""
    say(b"K\n")
    until(b"KEYUPDATE")
    if not KERNEL_CAN:
        say(request % (b"small.txt", b"Connection: close\r\n"))
        until(SMALL)
    rest = b""
    while part := os.read(p.stdout.fileno(), 65536):
        rest += part
    check_eq(p.wait(), p.returncode if KERNEL_CAN else 0)
    s.check_quiet()
