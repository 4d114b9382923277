"""Node: node:http, Express, Fastify and Koa, each with ws: etc/examples/node.conf."""

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
