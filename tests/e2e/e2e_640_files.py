"""Static files: what is sent for a path, what never is, conditions, parts, compressed siblings."""

import email.utils
import gzip
import json
import os

from certs import Authority
from http_tools import *
from reload_tools import reload


def tree(t, files):
    """A folder of files, by path; returns its name."""
    root = t.path("www")
    for name, data in files.items():
        put(root, name, data)
    return root


def put(root, name, data):
    path = os.path.join(root, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)
    return path


def replace(root, name, data):
    """As deployments do it: a new file in place of the old one."""
    os.rename(put(root, name + ".new", data), os.path.join(root, name))


def files_conf(t, listen, routes, pools="", listener=""):
    return 'workers = 1;\n%s\nlisteners = ( { name = "front"; mode = "http"; bind = "%s"; %s\n  routes = ( %s ); } );\n' % (
        pools, where(listen), listener, routes)


def serve(t, routes, **kw):
    """(sluice, address); routes: %s is the root."""
    listen = t.address()
    return start_files(t, files_conf(t, listen, routes, **kw)), listen


def start_files(t, conf):
    s = t.sluice(conf)
    s.roots = [t.path("www"), t.path("other")]
    return s


SITE = {
    "index.html": b"<h1>home</h1>\n", "app.js": b"run();\n" * 200, "empty.txt": b"",
    "docs/index.html": b"docs\n", "images/a b.png": b"\x89PNG", "plain": b"no ending",
    ".secret": b"secret", ".git/config": b"secret", ".well-known/security.txt": b"mail us\n",
    "run.php": b"<?php secret();", "sub/x.txt": b"x\n",
}


def test_a_path_names_a_file_beneath_the_root(t):
    root = tree(t, SITE)
    s, front = serve(t, '{ path = "/static/"; strip_prefix = "/static"; files = { root = "%s"; }; }, '
                        '{ files = { root = "%s"; }; }' % (root, root))
    with Client(front) as c:
        for path, status, kind, body in (
                ("/", 200, "text/html; charset=utf-8", SITE["index.html"]),
                ("/app.js", 200, "text/javascript; charset=utf-8", SITE["app.js"]),
                ("/static/app.js?v=1", 200, "text/javascript; charset=utf-8", SITE["app.js"]),
                ("/empty.txt", 200, "text/plain; charset=utf-8", b""),
                ("/docs/", 200, "text/html; charset=utf-8", b"docs\n"),
                ("/images/a%20b.png", 200, "image/png", b"\x89PNG"),
                ("/plain", 200, "application/octet-stream", b"no ending"),
                ("/.well-known/security.txt", 200, "text/plain; charset=utf-8", b"mail us\n"),
                ("//docs//index.html", 200, "text/html; charset=utf-8", b"docs\n")):
            r = c.request(path)
            check_eq((path, r.status, r.header("content-type"), r.body), (path, status, kind, body))
            check_eq(r.header("accept-ranges"), "bytes")
            check(r.header("date") and r.header("last-modified") and r.header("etag"), "dates and tag", r.fields)
        for path in ("/none", "/.secret", "/.git/config", "/%2egit/config", "/run.php", "/run.PHP", "/images/",
                     "/app.js/", "/app.js/x", "/sub", "/.well-known", "/docs/..%2e/x", "/a%00b", "/" + "x" * 300):
            r = c.request(path)
            check_in(r.status, (404,) if "%00" not in path else (400,), path) if path != "/a%00b" else None
            if r.header("connection") == "close":
                c.close()
                c.__init__(front)
        r = c.request("/docs?a=b")
        check_eq((r.status, r.header("location")), (301, "/docs/?a=b"))
        r = c.request("//docs")
        check_eq((r.status, r.header("location")), (301, "/docs/"), "never another host")
        r = c.request("/app.js", "HEAD")
        check_eq((r.status, r.header("content-length")), (200, str(len(SITE["app.js"]))))
        r = c.request("/app.js", "POST", body=b"x")
        check_eq((r.status, r.header("allow")), (405, "GET, HEAD"))
        check_eq(c.request("/sub/x.txt").body, b"x\n", "the connection goes on")
    s.check_quiet()


def test_links_and_special_files_stay_within(t):
    root = tree(t, SITE)
    outside = put(t.path("other"), "secret.txt", b"secret")
    os.symlink(outside, os.path.join(root, "absolute.txt"))
    os.symlink("../other/secret.txt", os.path.join(root, "up.txt"))
    os.symlink("sub/x.txt", os.path.join(root, "in.txt"))
    os.symlink("../other", os.path.join(root, "folder"))
    os.mkfifo(os.path.join(root, "fifo.txt"))
    s, front = serve(t, '{ files = { root = "%s"; }; }' % root, listener='log = { format = "json"; };')
    for path in ("/absolute.txt", "/up.txt", "/folder/secret.txt", "/fifo.txt"):
        check_eq((path, fetch(front, path).status), (path, 404))
    check_eq(fetch(front, "/in.txt").body, b"x\n")
    s.wait_access("file-outside-root", count=3)
    s.check_quiet()


def test_conditions_are_answered_by_what_is_there(t):
    root = tree(t, SITE)
    s, front = serve(t, '{ files = { root = "%s"; }; }' % root)
    os.utime(os.path.join(root, "app.js"), (1e9, 1e9))
    with Client(front) as c:
        r = c.request("/app.js")
        tag, when = r.header("etag"), r.header("last-modified")
        check_eq(when, "Sun, 09 Sep 2001 01:46:40 GMT")
        for headers, status in ((["If-None-Match: " + tag], 304), (['If-None-Match: "x", W/' + tag], 304),
                                (["If-None-Match: *"], 304), (['If-None-Match: "x"'], 200),
                                (["If-Modified-Since: " + when], 304),
                                (["If-Modified-Since: Sun, 09 Sep 2001 01:46:39 GMT"], 200),
                                (["If-Modified-Since: nonsense"], 200),
                                (["If-Match: " + tag], 200), (['If-Match: "x"'], 412),
                                (["If-Unmodified-Since: Sun, 09 Sep 2001 01:46:39 GMT"], 412)):
            r = c.request("/app.js", headers=headers)
            check_eq((headers, r.status), (headers, status))
            if status == 304:
                check_eq((r.header("etag"), r.header("content-type"), r.header("content-length")), (tag, None, None))
            if r.header("connection") == "close":
                c.close()
                c.__init__(front)
        replace(root, "app.js", b"other")
        wait_until(lambda: c.request("/app.js").body == b"other", "the new file")
        check_eq(c.request("/app.js", headers=["If-None-Match: " + tag]).status, 200)
    s.check_quiet()


def test_parts_are_sent(t):
    data = pattern(300000)
    root = tree(t, {"big.bin": data})
    s, front = serve(t, '{ files = { root = "%s"; }; }' % root)
    with Client(front) as c:
        tag = c.request("/big.bin", "HEAD").header("etag")
        for spec, first, last in (("0-0", 0, 0), ("100-199", 100, 199), ("299990-", 299990, 299999), ("-10", 299990, 299999),
                                  ("0-999999", 0, 299999), ("131000-262200", 131000, 262200)):
            r = c.request("/big.bin", headers=["Range: bytes=" + spec])
            check_eq((spec, r.status, r.header("content-range")), (spec, 206, "bytes %d-%d/300000" % (first, last)))
            check(r.body == data[first:last + 1], "bytes of " + spec)
        r = c.request("/big.bin", headers=["Range: bytes=300000-"])
        check_eq((r.status, r.header("content-range")), (416, "bytes */300000"))
        for headers in (["Range: bytes=5-1"], ["Range: lines=1-2"], ["Range: bytes=0-1", 'If-Range: "x"']):
            r = c.request("/big.bin", headers=headers)
            check(r.status == 200 and r.body == data, "the whole for %s" % headers)
        check_eq(c.request("/big.bin", headers=["Range: bytes=0-1", "If-Range: " + tag]).status, 206)
        r = c.request("/big.bin", headers=["Range: bytes=0-9, 1000-200999, -5"])
        check_eq(r.status, 206)
        message = email.message_from_bytes(b"Content-Type: %s\r\n\r\n" % r.header("content-type").encode() + r.body)
        parts = [(p["content-range"], p.get_payload(decode=True)) for p in message.get_payload()]
        check([p[0] for p in parts] == ["bytes 0-9/300000", "bytes 1000-200999/300000", "bytes 299995-299999/300000"],
              "parts", [p[0] for p in parts])
        check_in(data[:10], r.body)
        check_in(data[1000:201000], r.body)
        check_eq(c.request("/big.bin", "HEAD", headers=["Range: bytes=0-1"]).status, 200, "ranges are GET's")
    s.check_quiet()


def test_compressed_siblings_are_sent_to_who_takes_them(t):
    root = tree(t, {"app.js": SITE["app.js"], "a.png": b"png"})
    put(root, "app.js.gz", gzip.compress(SITE["app.js"]))
    put(root, "app.js.br", b"not really brotli")
    put(root, "a.png.gz", b"never")
    s, front = serve(t, '{ path = "/off/"; strip_prefix = "/off"; files = { root = "%s"; precompressed = false; }; }, '
                        '{ files = { root = "%s"; }; }' % (root, root))
    with Client(front) as c:
        for accept, coding in ((None, None), ("gzip", "gzip"), ("gzip, br", "br"), ("br;q=0.5, gzip", "gzip"),
                               ("br;q=0, *", "gzip"), ("identity", None), ("*;q=0", None)):
            r = c.request("/app.js", headers=["Accept-Encoding: " + accept] if accept else [])
            check_eq((accept, r.header("content-encoding"), r.header("vary")), (accept, coding, "Accept-Encoding"))
            check_eq(r.header("content-type"), "text/javascript; charset=utf-8")
        r = c.request("/app.js", headers=["Accept-Encoding: gzip"])
        check_eq(gzip.decompress(r.body), SITE["app.js"])
        check(r.header("etag") != c.request("/app.js").header("etag"), "another tag")
        check_eq(c.request("/a.png", headers=["Accept-Encoding: gzip"]).header("content-encoding"), None)
        r = c.request("/off/app.js", headers=["Accept-Encoding: gzip"])
        check_eq((r.header("content-encoding"), r.header("vary")), (None, None))
        # The file is changed, its sibling forgotten.
        old = os.path.getmtime(os.path.join(root, "app.js")) - 100
        for ending in ("gz", "br"):
            os.utime(os.path.join(root, "app.js." + ending), (old, old))
        wait_until(lambda: c.request("/app.js", headers=["Accept-Encoding: gzip"]).header("content-encoding") is None,
                   "an older sibling is left alone")
    s.check_quiet()


def test_tries_lead_to_files_routes_pools_and_answers(t):
    backend = t.backend(app(lambda r, b: answer(body=r.target.encode())))
    root = tree(t, dict(SITE, **{"about.html": b"about\n"}))
    pools = 'pools = ( { name = "app"; mode = "http"; %s backends = (%s); } );' % (NO_CHECKS, t.backend_list([backend]))
    s, front = serve(t, """
        { path = "~[.]php$"; pool = "app"; },
        { path = "/spa/"; strip_prefix = "/spa"; files = { root = "%(r)s"; try = [ "$path", "/index.html" ]; }; },
        { path = "/clean/"; strip_prefix = "/clean"; files = { root = "%(r)s"; try = [ "$path", "$path.html", "=410" ]; }; },
        { path = "/app/"; strip_prefix = "/app"; files = { root = "%(r)s"; try = [ "$path", "@app" ]; }; },
        { files = { root = "%(r)s"; try = [ "$path", "/index.php" ]; }; }""" % {"r": root}, pools=pools)
    with Client(front) as c:
        for path, status, body in (("/spa/deep/link", 200, SITE["index.html"]), ("/spa/app.js", 200, SITE["app.js"]),
                                   ("/clean/about", 200, b"about\n"), ("/clean/none", 410, None),
                                   ("/app/sub/x.txt", 200, b"x\n"), ("/app/api?x=1", 200, b"/api?x=1"),
                                   ("/sub/x.txt", 200, b"x\n"), ("/blog/1?p=2", 200, b"/index.php?p=2"),
                                   ("/run.php", 200, b"/run.php"), ("/.git/config", 200, b"/index.php")):
            r = c.request(path)
            check_eq((path, r.status), (path, status))
            check(body is None or r.body == body, "the body for " + path, r.body)
        check_eq(c.request("/form", "POST", body=b"a=1").body, b"/index.php", "what is no file takes any method")
    check_eq(backend.seen[-1].body, b"a=1")
    s.check_quiet()
    no_places_taken(s)


def test_a_large_file_is_the_same_for_slow_and_fast_readers(t):
    data = pattern(20 << 20)
    root = tree(t, {"big.bin": data})
    s, front = serve(t, '{ files = { root = "%s"; }; }' % root)
    check(fetch(front, "/big.bin").body == data, "20 MiB")
    before = status_kb(s.pid, "VmRSS")
    slow = [connect(front, rcvbuf=65536) for _ in range(10)]
    for c in slow:
        c.sendall(b"GET /big.bin HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    for c in slow:
        recv_exact(c, 1000)
    check(status_kb(s.pid, "VmRSS") - before < 40000, "readers that stand still hold little",
          before, status_kb(s.pid, "VmRSS"))
    check(recv_all(slow[0]).endswith(data[-100000:]), "the rest comes")
    for c in slow[1:5]:
        reset(c)
    for c in slow:
        c.close()
    s.check_quiet()


def test_a_file_that_becomes_shorter_is_cut(t):
    data = pattern(30 << 20)
    root = tree(t, {"big.bin": data})
    s, front = serve(t, '{ files = { root = "%s"; }; }' % root, listener='log = { format = "json"; };')
    with contextlib.closing(connect(front, rcvbuf=65536)) as c:
        c.sendall(b"GET /big.bin HTTP/1.1\r\nHost: h\r\n\r\n")
        recv_exact(c, 100000)
        os.truncate(os.path.join(root, "big.bin"), 200000)
        n = 100000
        try:
            while True:
                part = c.recv(1 << 20)
                if not part:
                    break
                n += len(part)
        except ConnectionError:
            pass
        check(n < len(data), "less than was promised", n)
    s.wait_access("file-became-shorter")
    check_eq(len(fetch(front, "/big.bin").body), 200000)
    s.check_quiet()


def test_many_files_and_none_leave_nothing_open(t):
    root = tree(t, {"d%d/f%d.txt" % (i % 10, i): b"%d" % i for i in range(300)})
    s, front = serve(t, '{ files = { root = "%s"; }; }' % root)

    def ask(part):
        with Client(front) as c:
            for i in range(part, 600, 8):
                r = c.request("/d%d/f%d.txt" % (i % 10, i))
                check_eq((i, r.status), (i, 200 if i < 300 else 404))
                check(i >= 300 or r.body == b"%d" % i, "the right file")
    in_threads(8, ask)
    s.check_quiet()


def test_a_root_that_is_set_to_another_release_is_followed(t):
    tree(t, {"r1/a.txt": b"one", "r2/a.txt": b"two"})
    base = t.path("www")
    os.symlink("r1", os.path.join(base, "current"))
    s, front = serve(t, '{ files = { root = "%s/current"; }; }' % base)
    check_eq(fetch(front, "/a.txt").body, b"one")
    os.symlink("r2", os.path.join(base, "next"))
    os.rename(os.path.join(base, "next"), os.path.join(base, "current"))
    wait_until(lambda: fetch(front, "/a.txt").body == b"two", "the new release")
    os.rename(os.path.join(base, "current"), os.path.join(base, "gone"))
    wait_until(lambda: fetch(front, "/a.txt").status == 404, "no root, no files")
    s.wait_log("files: root .*: No such file or directory")
    s.check_quiet()


def test_explain_tells_what_would_be_found(t):
    root = tree(t, SITE)
    backend = t.backend()
    pools = 'pools = ( { name = "app"; mode = "http"; %s backends = (%s); } );' % (NO_CHECKS, t.backend_list([backend]))
    s, front = serve(t, '{ path = "~[.]php$"; name = "php"; pool = "app"; }, '
                        '{ files = { root = "%s"; try = [ "$path", "/index.php" ]; }; }' % root, pools=pools)
    base = "http://%s:%d" % front[:2]
    out = s.ctl("explain GET %s/sub/x.txt" % base)
    check_in("sub/x.txt: found", out)
    check_in("status 200: text/plain; charset=utf-8, 2 bytes", out)
    out = s.ctl("explain GET %s/blog" % base)
    check_in("/index.php: goes to route php", out)
    check_in("result: pool app", out)
    told = json.loads(s.ctl("explain GET %s/docs --json" % base))
    check_eq((told["status"], told["location"]), (301, "/docs/"))
    check_eq(told["files"][-1]["name"], "docs/index.html")
    s.check_quiet()


def test_mistakes_are_told_with_their_place(t):
    root = tree(t, SITE)
    for files, words in (
            ('root = "%s"; try = [ "=404", "$path" ];' % root, "can only be the last"),
            ('root = "%s"; try = [ "$path", "=200" ];' % root, "expected a status from 400 to 599"),
            ('root = "%s"; try = [ "$path", "@nobody" ];' % root, "no pool"),
            ('root = "%s"; try = "index.html";' % root, "expected a path that begins with /"),
            ('root = "%s/app.js";' % root, "which is no directory"),
            ('index = "x";', "root: not found"),
            ('root = "%s"; index = "a/b";' % root, "the name of a file, without a slash")):
        path = t.path("bad.conf")
        with open(path, "w") as f:
            f.write(files_conf(t, ("127.0.0.1", 1), "{ files = { %s }; }" % files))
        status, _, err = t.run("-t", "-c", path)
        check_eq((files, status), (files, 1))
        check_in(words, err)
        check_match(r"bad\.conf:\d+: error: listeners\[front\]\.routes\[#1\]\.files", err)


def test_http2_and_tls_clients_get_the_same(t):
    ca = Authority(t.dir)
    cert = ca.leaf("www.example.com")
    data = pattern(3 << 20)
    root = tree(t, dict(SITE, **{"big.bin": data}))
    listen = t.address()
    s = start_files(t, files_conf(t, listen, '{ files = { root = "%s"; }; }' % root,
                            listener='tls = { certificates = ( { cert = "%s"; key = "%s"; } ); };' % (cert.cert, cert.key)))

    def curl(target, *words):
        done = subprocess.run(["curl", "-sS", "--max-time", "60", "--cacert", ca.cert, "--resolve",
                               "www.example.com:%d:%s" % (listen[1], listen[0]), *words,
                               "https://www.example.com:%d%s" % (listen[1], target)],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=90, check=False)
        check_eq((done.returncode, done.stderr), (0, b""), "curl")
        return done.stdout
    for version in ("--http1.1", "--http2"):
        check(curl("/big.bin", version) == data, "3 MiB with " + version)
        check(curl("/big.bin", version, "-r", "100-2000000") == data[100:2000001], "a part with " + version)
        check_in(b"content-length: 3145728", curl("/big.bin", version, "-I").lower())
        check_eq(curl("/", version), SITE["index.html"])
    # Several at once over one connection.
    out = [t.path("out%d" % i) for i in range(8)]
    curl("/big.bin", "--http2", "--parallel", "--no-progress-meter", *[w for o in out[1:] for w in (
        "-o", o, "https://www.example.com:%d/big.bin" % listen[1])], "-o", out[0])
    for o in out:
        with open(o, "rb") as f:
            check(f.read() == data, "streams are not mixed")
    s.check_quiet()


def test_downloads_live_through_reloads(t):
    data = pattern(20 << 20)
    root = tree(t, {"big.bin": data, "a.txt": b"a"})
    listen = t.address()
    s = start_files(t, files_conf(t, listen, '{ files = { root = "%s"; }; }' % root))
    with contextlib.closing(connect(listen, rcvbuf=65536)) as c:
        c.sendall(b"GET /big.bin HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        got = recv_exact(c, 100000)
        reload(s, lambda text: text.replace('{ files = { root = "%s"; }; }' % root, '{ path = "/a.txt"; answer = { status = 410; }; }'))
        check_eq(fetch(listen, "/a.txt").status, 410)
        got += recv_all(c)
        check(got.endswith(data[-100000:]) and got.split(b"\r\n\r\n", 1)[1] == data, "the whole file")
    s.check_quiet()
