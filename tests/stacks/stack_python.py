"""Flask and Django by Gunicorn, FastAPI by Uvicorn, Flask by uWSGI in its http mode: etc/examples/gunicorn.conf,
uvicorn.conf, uwsgi-http.conf. In uWSGI's own protocol: stack_uwsgi.py."""

from applications import *

PYTHON = "/usr/bin/python3"  # Debian's, which its packages are for


def want(module):
    done = subprocess.run([PYTHON, "-c", "import " + module], capture_output=True)
    check_eq(done.returncode, 0, "%s is not installed: scripts/setup.sh stacks does it" % module)


def gunicorn(t, name, module, address):
    bind = "unix:" + address if isinstance(address, str) else "%s:%d" % address
    return Server(t, name, [PYTHON, "-m", "gunicorn", "--bind", bind, "--workers", "2", "--threads", "8", "--keep-alive", "75",
                            "--forwarded-allow-ips", "127.0.0.1", "--chdir", os.path.join(HERE, "python"),
                            module + ":application"], address, env={"APP_NAME": name})


def uvicorn(t, name, address):
    bind = ["--uds", address] if isinstance(address, str) else ["--host", address[0], "--port", str(address[1])]
    return Server(t, name, [PYTHON, "-m", "uvicorn", *bind, "--proxy-headers", "--forwarded-allow-ips", "*",
                            "--timeout-keep-alive", "75", "--ws", "websockets", "--app-dir", os.path.join(HERE, "python"),
                            "fastapi_app:application"], address, env={"APP_NAME": name})


def test_flask_by_gunicorn(t):
    want("flask")
    site = Site(t, "gunicorn.conf", [gunicorn(t, "one", "flask_app", t.address()),
                                     gunicorn(t, "two", "flask_app", t.path("two.sock"))])
    goes_through_everything(site, websockets=False)
    survives_a_kill(site, websockets=False, two_writes=True)


def test_django_by_gunicorn(t):
    want("django")
    site = Site(t, "gunicorn.conf", [gunicorn(t, "one", "django_app", t.address()),
                                     gunicorn(t, "two", "django_app", t.path("two.sock"))])
    goes_through_everything(site, websockets=False)
    survives_a_kill(site, websockets=False, two_writes=True)


def test_fastapi_by_uvicorn(t):
    want("fastapi, websockets")
    site = Site(t, "uvicorn.conf", [uvicorn(t, "one", t.address()), uvicorn(t, "two", t.path("two.sock"))])
    goes_through_everything(site)
    survives_a_kill(site, two_writes=True)


def test_flask_by_uwsgi_in_http(t):
    want("flask")
    site = Site(t, "uwsgi-http.conf", [
        uwsgi(t, name, kind="http11-socket", address=address, module="flask_app", more=("--threads", "4"))
        for name, address in (("one", t.address()), ("two", t.path("two.sock")))])
    goes_through_everything(site, websockets=False)
    survives_a_kill(site, websockets=False, two_writes=True)
