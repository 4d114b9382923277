"""PHP-FPM over FastCGI: a front controller as that of Laravel or Symfony, etc/examples/php-fpm.conf."""

import hashlib

from applications import *


class Php(Site):
    """Two real PHP-FPM behind the example, one of them at a unix socket."""

    def __init__(self, t, children=4):
        self.fpms = [php_fpm(t, "fpm1", children=children), php_fpm(t, "fpm2", t.path("fpm2.sock"), children=children)]
        root = self.fpms[0].root
        super().__init__(t, "php-fpm.conf", self.fpms, pool="php", backends=["fpm1", "fpm2"], ROOT=root, FILES=root,
                         FPM1=where(self.fpms[0].address), FPM2=where(self.fpms[1].address), CHILDREN=str(children))
        self.sluice.roots = [root]


def one(t, pool="", listener="", children=2, fpm=None):
    """One PHP-FPM behind a configuration of the test's own: (fpm, sluice, front)."""
    fpm = fpm or php_fpm(t, children=children)
    front = t.address()
    s = t.sluice("""pools = ( { name = "php"; mode = "http"; protocol = "fastcgi"; %s
      cgi = { root = "%s"; script = "/index.php"; };
      backends = ( { name = "b1"; address = "%s"; max_connections = %d; } ); } );
    listeners = ( { name = "web"; mode = "http"; bind = "%s"; %s routes = ( { pool = "php"; } ); } );
    """ % (pool, fpm.root, where(fpm.address), children, where(front), listener))
    return fpm, s, front


def test_the_example(t):
    site = Php(t)
    goes_through_everything(site, websockets=False)
    kill_and_restart(site.front, site.fpms, site.sluice, "php", site.backends)


def test_the_application_sees_the_request_as_it_was(t):
    site = Php(t)
    v = values(site.get("/users/1?x=y", headers=["X-A: 1", "X-B: 2", "X-B: 3", "Proxy: evil", "Host: www.example.com:80"]).body)
    check_eq(v["REQUEST_URI"], "/users/1?x=y")
    check_eq(v["SCRIPT_NAME"], "/index.php")
    check_eq(v["SCRIPT_FILENAME"], os.path.join(site.fpms[0].root, "index.php"))
    check_eq((v["PATH_INFO"], v["QUERY_STRING"], v["REQUEST_METHOD"]), ("-", "x=y", "GET"))
    check_eq((v["REMOTE_ADDR"], v["REQUEST_SCHEME"], v["HTTPS"]), ("127.0.0.1", "http", "-"))
    check_eq((v["SERVER_NAME"], v["SERVER_PORT"], v["HTTP_HOST"]),
             ("www.example.com", str(site.front[1]), "www.example.com:80"))
    check_eq((v["HTTP_X_A"], v["HTTP_X_B"], v["HTTP_PROXY"]), ("1", "2, 3", "-"))
    check_eq((v["APP_ENV"], v["CONTENT_LENGTH"], v["HTTP_X_FORWARDED_FOR"]), ("production", "-", "127.0.0.1"))


def test_files_are_sent_by_sluice_and_scripts_run(t):
    site = Php(t)
    r = site.get("/style.css")
    check_eq((r.status, r.header("content-type"), r.body, r.header("x-instance")), (200, "text/css; charset=utf-8", b"body {}", None))
    check_eq(site.get("/style.css", headers=["If-None-Match: " + r.header("etag")]).status, 304)
    check_eq(site.get("/tool.php").body, b"tool /tool.php -\n", "a script is run, not sent")
    check_eq(values(site.get("/style.css/x").body)["REQUEST_URI"], "/style.css/x", "what is no file is the application's")
    check_eq(site.get("/style.css", "POST", body=b"x").status, 405)


def test_scripts_in_the_path_are_run_and_the_rest_is_path_info(t):
    site = Php(t)
    check_eq(site.get("/tool.php").body, b"tool /tool.php -\n")
    check_eq(site.get("/tool.php/a%20b/c?d").body, b"tool /tool.php /a b/c\n")
    check_eq(site.get("/index.php").status, 200)
    check_eq(site.get("/missing.php").status, 404, "PHP-FPM has no such script")


def test_responses_keep_their_status_and_headers(t):
    site = Php(t)
    r = site.get("/status?code=418")
    check_eq((r.status, r.body), (418, b"with a body"))
    check_eq(site.get("/status?code=204").body, b"")
    r = site.get("/move")
    check_eq((r.status, r.header("location")), (302, "/elsewhere"))
    r = site.get("/length")
    check_eq((r.header("content-length"), r.body), ("5", b"hello"))
    r = site.get("/length", "HEAD")
    check_eq((r.status, r.header("content-length"), r.body), (200, "5", b""))
    r = site.get("/cookies", headers=["Cookie: x=1", "Cookie: y=2"])
    check_eq((r.all("set-cookie"), r.body), (["a=1", "b=2"], b"x=1; y=2"))
    check_eq(len(site.get("/headers").header("x-long")), 30000)


def test_an_upload_of_unknown_length_is_kept_until_it_is_known(t):
    site = Php(t)
    for n in (0, 1, 700_000):
        data = os.urandom(n)
        with Client(site.front) as c:
            c.s.sendall(b"POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            for at in range(0, n, 50_000):
                piece = data[at:at + 50_000]
                c.s.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            c.s.sendall(b"0\r\n\r\n")
            v = values(c.response("POST").body)
        check_eq((v["bytes"], v["md5"]), (str(n), hashlib.md5(data).hexdigest()))


def test_one_that_is_too_long_for_that_is_refused(t):
    site = Php(t)
    with Client(site.front) as c:
        c.s.sendall(b"POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(40):
                c.s.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")
        check_eq(c.response("POST").status, 411)
    site.sluice.wait_access(" 411 ")


def test_a_client_that_waits_for_100_is_told_to_go_on(t):
    site = Php(t)
    with Client(site.front) as c:
        c.s.sendall(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        check_eq(c.reader.until(b"\r\n\r\n"), b"HTTP/1.1 100 Continue")
        c.s.sendall(b"hello")
        check_eq(values(c.response("POST").body)["bytes"], "5")


def test_what_php_complains_of_is_in_the_log_with_its_severity(t):
    site = Php(t)
    check_eq(site.get("/complain").body, b"complained")
    site.sluice.wait_log(r"(ERROR|INFO) pool php: backend fpm\d: stderr: .*PHP Notice:  a notice of the application")
    site.sluice.wait_log(r"ERROR pool php: backend fpm\d: stderr: .*PHP Fatal error:  it is broken.*GET /complain, request [0-9a-f]{32}")


def test_checks_ask_for_its_ping(t):
    site = Php(t)
    site.sluice.wait_status("php", "fpm1", "UP")
    site.sluice.wait_log(r'backend php/fpm1 is UP: HTTP 200, body contains "pong" \(check fastcgi')
    site.fpms[0].kill()
    site.sluice.wait_status("php", "fpm1", "DOWN", seconds=30)
    check_eq({site.get().header("x-instance") for _ in range(4)}, {"fpm2"})


def test_more_requests_than_children_wait_in_order(t):
    _, s, front = one(t, children=2)
    in_threads(10, lambda i: check_eq(fetch(front, "/slow?ms=50").body, b"slept"))
    check(s.number("php", "BACKEND", "qmax") > 0, "some have waited")


def test_a_client_that_leaves_ends_its_script(t):
    _, s, front = one(t, children=1)
    for n in range(2):  # with one child, the second runs because the first has ended
        note = "/tmp/%s-%d" % (os.path.basename(t.dir), n)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(note)
        with Client(front) as c:
            c.send("/wait?file=" + note)
            check_eq(c.head().status, 200)
            c.reader.exactly(2000)
        wait_until(lambda: os.path.exists(note) and os.path.getsize(note), "the script has ended")
        with open(note) as f:
            check_eq(f.read(), "1", "connection_status(): aborted")
        os.unlink(note)
    wait_until(lambda: s.number("php", "b1", "scur") == 0, "its place is free")


def test_what_goes_on_behind_the_answer_holds_nobody_up(t):
    _, s, front = one(t, children=1)
    check_eq(fetch(front, "/early").body, b"answer")
    check_eq(fetch(front, "/early").body, b"answer")


def test_connections_are_kept_where_that_is_asked_for(t):
    _, s, front = one(t, pool='reuse = "safe";')
    with Client(front) as c:
        for i in range(20):
            check_eq(c.request("/length").body, b"hello")
            check_eq(values(c.request("/upload", "POST", body=b"x" * i).body)["bytes"], str(i))
    check(s.number("php", "b1", "connect") <= 3, "connects for 40 requests", s.number("php", "b1", "connect"))
    check(s.number("php", "b1", "reuse") >= 37, "reused")


def test_over_a_unix_socket(t):
    fpm = php_fpm(t, address=t.path("fpm.sock"))
    _, s, front = one(t, fpm=fpm)
    check_eq(fetch(front, "/length").body, b"hello")
