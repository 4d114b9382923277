"""reload_tools.py - a configuration file that is written anew while sluice runs."""

import os
import re

from http_tools import *


def rewrite(s, change):
    """The file of s becomes change(its text)."""
    with open(s.conf_path) as f:
        text = f.read()
    new = change(text)
    with open(s.conf_path + ".new", "w") as f:
        f.write(new)
    os.rename(s.conf_path + ".new", s.conf_path)
    return new


def reload(s, change=lambda text: text):
    """The answer of the stats socket."""
    rewrite(s, change)
    return s.ctl("reload")


def reloaded(s, change):
    out = reload(s, change)
    check_in("reloaded: ", out)
    return out


def replace(old, new):
    def change(text):
        check(old in text, "%r is in the configuration" % old, text)
        return text.replace(old, new)
    return change


def change_backends(t, backends):
    """The rows of the pool `app`, of mode tcp or http, as Test.backend_list() and simple() write them."""
    rows = t.backend_list(backends)
    return lambda text: re.sub(r"(name = \"app\".*?backends = \().*?(\); \} \);)",
                               lambda m: m.group(1) + rows + m.group(2), text, 1, re.S)
