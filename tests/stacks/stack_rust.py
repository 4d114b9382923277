"""Rust: hyper with HTTP/1.1 and HTTP/2 in clear: etc/examples/rust.conf."""

from applications import *

CRATES = "/usr/share/cargo/registry"

# What Debian has of crates, and nothing from elsewhere.
BUILD = """set -e
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r rust "$work/rust"
printf '[source.crates-io]\\nreplace-with = "debian"\\n[source.debian]\\ndirectory = "%s"\\n' > "$work/config.toml"
cd "$work/rust"
CARGO_HOME=$work RUSTC=/usr/bin/rustc /usr/bin/cargo build --offline --target-dir "$work/target"
mv "$work/target/debug/app" "$1"
"""


def rust(t, name):
    if not glob.glob(CRATES + "/hyper-0.14*") or not os.path.exists("/usr/bin/cargo"):
        raise Skip("cargo or librust-hyper-dev 0.14 is not installed: scripts/setup.sh stacks does it where there is one")
    program = built("rust", ["rust/Cargo.toml", "rust/src/main.rs"],
                    lambda out: ["sh", "-c", BUILD.replace("%s", CRATES), "sh", out])
    address = t.address()
    return Server(t, name, [program, where(address)], address, env={"APP_NAME": name})


def test_hyper(t):
    one = Site(t, "rust.conf", [rust(t, "one"), rust(t, "two")])
    for backend in one.backends:
        one.sluice.wait_status("h2", backend, "UP", seconds=60)
    goes_through_everything(one, websockets=False)
    check_in(b"proto=HTTP/1.1\n", one.get("/").body)
    check_in(b"proto=HTTP/2.0\n", one.get("/h2/").body)
    client_and_scheme_are_seen(one, "/h2/")
    large_bodies_are_whole(one, "/h2/upload", "/h2/big?n=800")
    connections_are_shared(one)
    load = Load(one.front, threads=2, target="/h2/")
    survives_a_kill(one, websockets=False)
    load.stop(cut=2)
