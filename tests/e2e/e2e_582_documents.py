"""What the documents say is true: pages printed from the code are as the code has them."""

import glob

from harness import *


def test_printed_pages_are_what_the_code_prints(t):
    for option, path in (("--print-sample", "etc/sluice.conf"), ("--print-reference", "etc/docs/reference.md"),
                         ("--print-manual", "etc/man/sluice.conf.5"),
                         ("--print-ctl-manual", "etc/man/sluice-ctl.1")):
        status, out, err = t.run(option)
        with open(os.path.join(ROOT, path)) as f:
            check(status == 0 and out == f.read(), "%s is old: make docs prints it anew" % path)


def test_the_manual_page_has_what_the_help_has(t):
    help_text = t.run("--help")[1]
    with open(os.path.join(ROOT, "etc/man/sluice.8")) as f:
        manual = f.read().replace("\\-", "-")
    synopsis = manual[:manual.index(".SH DESCRIPTION")]
    words = set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", help_text))
    check("-x" in words and "--detach" in words, "the help has options", words)
    missing = [w for w in sorted(words) if not re.search(r"(?<![\w-])%s(?![\w-])" % re.escape(w), manual)]
    check_eq(missing, [], "options that sluice(8) does not have")
    commands = set(re.findall(r"^  sluice ([a-z]+)", help_text, re.M))
    check_eq([c for c in sorted(commands) if "sluice %s" % c not in synopsis], [], "commands that its synopsis does not have")


DOCUMENTS = ["README.md", *sorted(glob.glob("etc/docs/**/*.md", root_dir=ROOT, recursive=True))]
SETTING = r"^(pools|listeners|stats|limits|timeouts|log|drain|workers|tests) = [({\[\"0-9]"


def snippets(path):
    """(line, text) of each block that is a configuration: marked so, or it looks so."""
    with open(os.path.join(ROOT, path)) as f:
        text = f.read()
    for block in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S):
        if block.group(1) == "sluice" or (block.group(1) == "" and re.search(SETTING, block.group(2), re.M)):
            yield text.count("\n", 0, block.start()) + 2, block.group(2)


def completed(t, text):
    """With the pools that its listeners name, with certificates of ours, and with all variables set."""
    text = re.sub(r'\b(cert|key) = "([^"]*)\.(?:pem|key)"',
                  lambda m: '%s = "%s.pem"' % (m.group(1), "other" if "other" in m.group(2) else "site"), text)
    if not re.search(r"^pools = ", text, re.M):
        rows = ", ".join('{ name = "%s"; mode = "http"; backends = ( { name = "x"; address = "127.0.0.1:1"; } ); }'
                         % name for name in sorted(set(re.findall(r'\bpool = "(\w+)"', text))))
        text = "pools = ( %s );\n" % rows + text
    if not re.search(r"^listeners = ", text, re.M):
        text += 'listeners = ( { name = "x"; mode = "http"; bind = "127.0.0.1:1"; routes = ( { answer = { }; } ); } );\n'
    return text


def test_each_configuration_in_the_documents_is_good(t):
    import certs
    for name in ("site", "other"):
        made = certs.Authority(t.path("ca")).leaf(name + ".example")
        os.rename(made.both, t.path(name + ".pem"))
    checked = {}
    for document in DOCUMENTS:
        for line, text in snippets(document):
            with open(t.path("snippet.conf"), "w") as f:
                f.write(completed(t, text))
            variables = {name: "a secret of enough bytes" for name in re.findall(r"\$\{([A-Z_]+)\}", text)}
            status, out, err = t.run("-t", "-c", t.path("snippet.conf"), env=variables)
            check_eq(status, 0, "%s:%d: %s" % (document, line, err))
            check(": warning:" not in err, "%s:%d: %s" % (document, line, err))
            checked[document] = checked.get(document, 0) + 1
    for document, least in (("README.md", 3), ("etc/docs/from-haproxy.md", 1), ("etc/docs/from-nginx.md", 3),
                            ("etc/docs/operations.md", 1)):
        check(checked.get(document, 0) >= least, "snippets are found in", document, checked)


def test_links_between_documents_lead_somewhere(t):
    for document in DOCUMENTS:
        with open(os.path.join(ROOT, document)) as f:
            for link in re.findall(r"\]\(([^)#]+)[^)]*\)", f.read()):
                if "://" not in link:
                    path = os.path.join(ROOT, os.path.dirname(document), link)
                    check(os.path.exists(path), "%s: link to %s" % (document, link))
