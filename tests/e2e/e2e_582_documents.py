"""What the documents say is true: pages printed from the code are as the code has them."""

from harness import *


def test_printed_pages_are_what_the_code_prints(t):
    for option, path in (("--print-sample", "etc/sluice.conf"), ("--print-reference", "etc/docs/reference.md"),
                         ("--print-manual", "etc/man/sluice.conf.5"),
                         ("--print-ctl-manual", "etc/man/sluice-ctl.1")):
        status, out, err = t.run(option)
        with open(os.path.join(ROOT, path)) as f:
            check(status == 0 and out == f.read(), "%s is old: make docs prints it anew" % path)
