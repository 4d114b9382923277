"""Node: node:http, Express, Fastify and Koa, each with ws: etc/examples/node.conf. A single-page application with
Express for its API: spa.conf."""

from applications import *

STACKS = os.path.join(ROOT, "build", "stacks-node", "node_modules")  # scripts/setup.sh stacks fills it


def node(t, script, name, **env):
    for package in ("ws", script.removesuffix(".js")):
        check(package == "http" or os.path.isdir(os.path.join(STACKS, package)),
              "the npm package %s is not in build/stacks-node: run scripts/setup.sh stacks" % package)
    address = t.address()
    return Server(t, name, ["node", os.path.join(HERE, "node", script), address[0], str(address[1])], address,
                  env={"NODE_PATH": STACKS, "APP_NAME": name, **env})


def site(t, script):
    return Site(t, "node.conf", [node(t, script, "one"), node(t, script, "two")])


def test_node_http(t):
    one = site(t, "http.js")
    goes_through_everything(one)
    survives_a_kill(one)


def test_express(t):
    one = site(t, "express.js")
    goes_through_everything(one)
    survives_a_kill(one)


def test_fastify(t):
    one = site(t, "fastify.js")
    goes_through_everything(one)
    survives_a_kill(one)


def test_koa(t):
    one = site(t, "koa.js")
    goes_through_everything(one)
    survives_a_kill(one)


def test_a_single_page_application(t):
    apps, root = [node(t, "express.js", "one"), node(t, "express.js", "two")], t.path("dist")
    os.makedirs(root + "/assets")
    for name, text in (("index.html", "<html>"), ("assets/app.1a2b.js", "run()"), ("assets/app.1a2b.js.br", "for brotli")):
        with open(os.path.join(root, name), "w") as f:
            f.write(text)
    s, front = start_example(t, "spa.conf", ROOT=root, API1=where(apps[0].address), API2=where(apps[1].address))
    s.roots = [root]
    s.wait_status("api", "api1", "UP", seconds=60)
    s.wait_status("api", "api2", "UP", seconds=60)
    for path in ("/", "/basket/7"):
        r = fetch(front, path)
        check_eq((r.body, r.header("content-type"), r.header("cache-control")), (b"<html>", "text/html; charset=utf-8", "no-cache"))
    r = fetch(front, "/assets/app.1a2b.js", headers=["Accept-Encoding: br"])
    check_eq((r.body, r.header("content-encoding")), (b"for brotli", "br"))
    check_eq(r.header("cache-control"), "public, max-age=31536000, immutable")
    check_eq(fetch(front, "/assets/app.0000.js").status, 404, "an old page is not given index.html for a script")
    v = values(fetch(front, "/api/who", headers=["X-Forwarded-For: 6.6.6.6"], source=CLIENT).body)
    check_eq((v["client"], v["scheme"]), (CLIENT, "http"))
    wait_until(lambda: {fetch(front, "/api/who").header("x-instance") for _ in range(4)} == {"one", "two"}, "both answer")
    kill_and_restart(front, apps[:1], s, "api", ["api1"], target="/api/who")
