"""What testssl.sh says of the profiles: nothing of medium severity or above, but for the test's own
certificate and the application's headers. Once, as the engines see none of it; the answers to its many
connections are sluice's own."""

import json
import os
import shutil
import subprocess

from harness import *
from certs import Authority

BAD = ("MEDIUM", "HIGH", "CRITICAL")
# Of the certificate (it has no place to ask for its revocation), and of the application's answers.
NOT_OURS = ("cert_revocation", "cert_expirationStatus", "cert_notAfter", "security_headers", "HSTS")


def scan(t, profile, *what):
    if t.engine != "uring":
        raise Skip("the same on every engine")
    if not shutil.which("testssl"):
        raise Skip("testssl is not installed")
    ca = Authority(t.dir)
    cert, rsa = ca.leaf("localhost", ends=300), ca.leaf("localhost", kind="rsa", ends=300)
    address = t.address()
    t.sluice("""
pools = ( { name = "app"; mode = "http"; backends = ( { name = "b"; address = "%s"; } ); health = { type = "none"; }; } );
listeners = ( { name = "front"; mode = "http"; bind = "%s"; log = { access = "off"; };
  tls = { profile = "%s"; certificates = ( { cert = "%s"; key = "%s"; }, { cert = "%s"; key = "%s"; } ); };
  routes = ( { answer = { status = 200; body = "hello"; }; } ); } );
""" % (where(t.closed_address()), where(address), profile, cert.cert, cert.key, rsa.cert, rsa.key))
    found = os.path.join(t.dir, "found.json")
    done = subprocess.run(
        ["testssl", "--warnings", "off", "--quiet", "--color", "0", "--nodns", "none", "--ip", address[0],
         "--add-ca", ca.cert, "--jsonfile", found, *what, "localhost:%d" % address[1]],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=110, check=False)
    with open(found) as f:
        rows = json.load(f)
    check(len(rows) > 4, "it has looked", rows, done.stdout)
    fatal = [r for r in rows if r["severity"] in ("FATAL", "WARN") and "scan" in r["id"].lower()]
    check_eq(fatal, [], done.stdout.decode(errors="replace")[-2000:])
    bad = [r for r in rows if r["severity"] in BAD and not r["id"].startswith(NOT_OURS)]
    check_eq(bad, [], "findings of medium severity and above")
    return {r["id"].split(" ")[0]: r["finding"] for r in rows}


def test_the_intermediate_profile_has_sound_protocols(t):
    rows = scan(t, "intermediate", "-p", "-f")
    check_in("not offered", rows["TLS1_1"])
    check_in("offered", rows["TLS1_2"])
    check_in("offered", rows["TLS1_3"])


def test_the_intermediate_profile_has_sound_ciphers(t):
    scan(t, "intermediate", "-s")


def test_the_intermediate_profile_is_well_served(t):
    scan(t, "intermediate", "-S")


def test_the_intermediate_profile_is_not_vulnerable(t):
    scan(t, "intermediate", "-U")


def test_the_modern_profile_has_sound_protocols(t):
    rows = scan(t, "modern", "-p", "-f")
    check_in("not offered", rows["TLS1_1"])
    check_in("offered", rows["TLS1_3"])


def test_the_modern_profile_has_sound_ciphers(t):
    scan(t, "modern", "-s")


def test_the_modern_profile_is_well_served(t):
    scan(t, "modern", "-S")


def test_the_modern_profile_is_not_vulnerable(t):
    scan(t, "modern", "-U")
