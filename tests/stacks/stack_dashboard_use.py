"""The dashboard in a real browser, used: with a keyboard, over TLS, with a token, at each level, and while the process
behind it reloads, ends, or is followed by another."""

import base64

from e2e_520_admin_http import ask
from e2e_530_dashboard import Stream
from certs import Authority, install
from stack_dashboard import *
from upgrade_tools import conf_of, reloaded, replace, upgraded

NAME = "lb1.example.net"
STATE = "return document.querySelector('tr.backend .state').innerText"
FOCUSED = """const e = document.activeElement, row = e.closest('[data-id]');
    return (row ? row.dataset.id + ' ' : '') + (e.id || e.className || e.tagName)"""
SHOWN = "return [...document.querySelectorAll('tr.backend')].filter((r) => r.checkVisibility()).map((r) => r.dataset.id)"
ASKS = "return document.querySelector('dialog').open"
FOOT = "return document.querySelector('#foot').innerText"


def opened(t, url, **kw):
    browser = Browser(t, **kw)
    browser.resize(*SIZES["wide"])
    browser.open(url)
    ready(browser)
    return browser


def standing(t, state):
    """(browser, site): the page before a state that stands still."""
    one_engine(t)
    s, admin, _ = admin_of(t)
    site = dashboard_fixture.Site(t.address(), page_of(admin), state)
    return opened(t, site.url), site


def check_focus(browser, what):
    wait_until(lambda: browser.run(FOCUSED) == what, lambda: "the focus is on %s, not on %s" % (what, browser.run(FOCUSED)))


def drain_by_keys(s, browser, pool, name, word="DRAIN"):
    """Change, the second choice, a reason, Enter."""
    focus(browser, name, ".change")
    browser.press("Enter")
    wait_until(lambda: browser.run(ASKS), "it asks")
    browser.press("Right", "Tab", "tested by keys", "Enter")
    s.wait_status(pool, name, word)
    wait_until(lambda: "DRAINING" in browser.run(STATE).upper(), "the page shows it")
    wait_until(lambda: not browser.run(ASKS), "the question is gone")


# ---- the keyboard --------------------------------------------------------------------------------

def test_keys_search_and_go_from_row_to_row(t):
    browser, site = standing(t, dashboard_fixture.usual())
    everything = browser.run(SHOWN)
    browser.press("/")
    check_focus(browser, "search")
    browser.press("node")
    check_eq(browser.run("return document.querySelector('#search').value"), "node", "the key that led there is not part of it")
    wait_until(lambda: browser.run(SHOWN) == ["search/node-a", "search/node-b", "search/node-c"], "what was searched for")
    browser.press("Down", "Down")
    check_focus(browser, "search/node-b link")
    browser.press("Enter")
    wait_until(lambda: browser.run("return document.querySelectorAll('tr.detail').length") == 1, "details")
    browser.press("Escape")
    wait_until(lambda: browser.run("return document.querySelectorAll('tr.detail').length") == 0, "no details")
    check_focus(browser, "search/node-b link")
    check_eq(len(browser.run(SHOWN)), 3, "one Escape does one thing")
    browser.press("Tab")
    check_focus(browser, "search/node-b change")
    browser.press("Up")
    check_focus(browser, "search/node-a change")
    browser.press("Up")
    check_focus(browser, "search/node-a change")  # there is none above
    browser.press("/")
    check_eq(browser.run("return getSelection().toString() || document.querySelector('#search').selectionEnd"), "node")
    browser.press("Escape")
    wait_until(lambda: browser.run(SHOWN) == everything, "all are back")
    check_eq(browser.run("return document.querySelector('#search').value"), "")
    focus(browser, "standby", "button.link")  # the last one of its pool
    browser.press("Down")
    check_focus(browser, "search/node-a link")
    no_noise(browser, site.url)
    browser.close()
    site.close()


def test_keys_filter(t):
    browser, site = standing(t, dashboard_fixture.usual())
    everything = browser.run(SHOWN)
    browser.run("document.querySelector('.chip').focus()")
    browser.press("Tab", "Tab", "Tab", " ")  # Up, Failing, Down
    wait_until(lambda: browser.run(SHOWN) == ["shop/web-4", "search/node-b", "postgres/replica"], lambda: browser.run(SHOWN))
    check_eq(browser.run("return [...document.querySelectorAll('.chip[aria-pressed=true]')].map((c) => c.dataset.kind)"), ["bad"])
    browser.press("/", "no such")  # in reasons, too: both must fit
    wait_until(lambda: browser.run(SHOWN) == ["postgres/replica"], "what fits both")
    browser.press("thing at all")
    wait_until(lambda: browser.run("return document.querySelector('#clear').checkVisibility()"), "a way back")
    browser.run("document.querySelector('#clear').focus()")
    browser.press("Enter")
    wait_until(lambda: browser.run(SHOWN) == everything, "all are back")
    check_focus(browser, "search")
    check_eq(browser.run("return document.querySelector('.chip[aria-pressed=true]').dataset.kind"), "")
    browser.close()
    site.close()


def test_the_first_key_leads_past_the_top(t):
    browser, site = standing(t, dashboard_fixture.usual())
    browser.press("Tab")
    check_eq(browser.run("return document.activeElement.className"), "skip")
    check(browser.run("return document.activeElement.getBoundingClientRect().top >= 0"), "it is seen")
    browser.press("Enter", "Tab")
    check_eq(browser.run("return document.activeElement.className"), "chip")
    seen = set()
    for _ in range(60):  # whatever has the focus is in sight and marked
        browser.press("Tab")
        what = browser.run("""const e = document.activeElement, b = e.getBoundingClientRect(), c = getComputedStyle(e);
            const top = document.querySelector('.top').getBoundingClientRect().bottom;
            const under = e.closest('.top, .skip') ? 0 : top;
            return [e.tagName, b.bottom > under && b.top < innerHeight, c.outlineStyle !== 'none' || e.tagName === 'BODY'];""")
        check(what[1] and what[2] or what[0] in ("BODY", "HTML"), "the focus is to be seen", what, browser.run(FOCUSED))
        seen.add(browser.run(FOCUSED))
    check(len(seen) > 35, "the focus moves", seen)
    browser.close()
    site.close()


def test_keys_answer_the_question(t):
    browser, site = standing(t, dashboard_fixture.usual())
    focus(browser, "web-2", ".change")
    browser.press("Enter")
    wait_until(lambda: browser.run(ASKS), "it asks")
    check_eq(browser.run("return document.querySelector('#dialog-title').textContent"), "shop/web-2")
    check(browser.run("return document.querySelector('#dialog-confirm').disabled"), "nothing is chosen")
    for _ in range(12):  # the focus does not leave it, except to the browser's own
        browser.press("Tab")
        check(browser.run("return document.activeElement === document.body || Boolean(document.activeElement.closest('dialog'))"),
              "behind the question", browser.run(FOCUSED))
    browser.press("/")
    check(browser.run("return document.activeElement.id !== 'search'"), "keys of the page do nothing behind it")
    browser.press("Escape")
    wait_until(lambda: not browser.run(ASKS), "Escape says no")
    check_focus(browser, "shop/web-2 change")
    check_eq(site.changes, [], "nothing was done")
    browser.press("Enter", "Right", "Right", "Right")
    check_eq(browser.run("return document.querySelector('#dialog-confirm').textContent"), "Set weight")
    browser.press("Tab", "Up", "Enter")  # 10 and one more
    wait_until(lambda: not browser.run(ASKS), "it is done")
    check_eq(site.changes, [("/dashboard/change", "secret", "pool=shop&backend=web-2&verb=weight&weight=11")])
    check_focus(browser, "shop/web-2 change")
    site.answer = (409, "backend shop/web-2 is not there")
    browser.press("Enter", " ", "Enter")
    wait_until(lambda: browser.run("return !document.querySelector('#dialog-failure').hidden"), "it tells of the refusal")
    check_in("backend shop/web-2 is not there", browser.run("return document.querySelector('#dialog-failure').textContent"))
    check(browser.run(ASKS), "and stays")
    browser.press("Escape")
    check_focus(browser, "shop/web-2 change")
    browser.close()
    site.close()


def test_a_backend_is_drained_with_the_keyboard(t):
    one_engine(t)
    s, admin, front = admin_of(t)
    url = "http://%s:%d/" % admin
    browser = opened(t, url)
    for _ in range(5):
        check_eq(fetch(front).body, b"web-1")
    wait_until(lambda: "UP" in browser.run(STATE).upper(), "it is up on the page")
    drain_by_keys(s, browser, "shop", "web-1")
    s.wait_log("backend shop/web-1: draining over the dashboard by 127.*: tested by keys")
    wait_until(lambda: "tested by keys" in browser.run("return document.querySelector('#events').innerText"), "among the events")
    no_noise(browser, url)
    browser.close()


# ---- who may -------------------------------------------------------------------------------------

FORGED = """const r = await fetch('/dashboard/change', {method: 'POST', headers: {'X-Sluice-Token': arguments[0]},
    body: new URLSearchParams({pool: 'shop', backend: 'web-1', verb: 'maint'})}); return [r.status, await r.text()];"""


def test_who_may_only_look_finds_no_buttons_and_is_refused(t):
    one_engine(t)
    for level in ("user", "operator"):
        s, admin, _ = admin_of(t, level=level)
        browser = opened(t, "http://%s:%d/" % admin)
        check_eq(browser.run("return document.querySelectorAll('button.change').length"), 0)
        check_in("this page only shows", browser.run(FOOT))
        check_eq(browser.run("return data.hello"), {"level": level, "may_change": False, "token": ""})
        status, text = browser.run(FORGED, "0" * 32)
        check_eq(status, 403)
        check_in("admin.level", text)
        check_eq(s.stat()[("shop", "web-1")]["status"], "UP")
        browser.close()
        s.finish()


def test_a_token_of_another_process_is_refused_in_words(t):
    one_engine(t)
    s, admin, _ = admin_of(t)
    browser = opened(t, "http://%s:%d/" % admin)
    check_eq(browser.run(FORGED, "0" * 32)[0], 403)
    browser.run("data.hello.token = 'f'.repeat(32)")
    focus(browser, "web-1", ".change")
    browser.press("Enter", "Right", "Enter")
    wait_until(lambda: browser.run("return !document.querySelector('#dialog-failure').hidden"), "it tells")
    check_in("its token is not this process's", browser.run("return document.querySelector('#dialog-failure').textContent"))
    check_eq(s.stat()[("shop", "web-1")]["status"], "UP")
    s.wait_log("a change of the dashboard is refused: its token")
    browser.close()


def test_an_address_with_a_token_asks_for_it(t):
    one_engine(t)
    s, admin, _ = admin_of(t, more='token = "a token with 24 letters!";')
    browser = Browser(t)
    browser.resize(*SIZES["wide"])
    browser.open("http://%s:%d/" % admin)  # nobody answers its question for a password
    check_eq(browser.run("return document.querySelectorAll('tr.backend').length"), 0)
    check_eq(ask(admin, "/").status, 401)
    words = base64.b64encode(b":a token with 24 letters!").decode()
    check_eq(ask(admin, "/", ["Authorization: Basic " + words]).status, 200)
    browser.open("http://any:%s@%s:%d/" % (urllib.parse.quote("a token with 24 letters!"), *admin))
    ready(browser)  # and so does the stream, with what the browser has learnt
    drain_by_keys(s, browser, "shop", "web-1")
    browser.close()


def test_over_tls(t):
    one_engine(t)
    leaf = Authority(t.dir).leaf(NAME)
    install(leaf, t.dir)
    s, admin, _ = admin_of(t, more='hosts = "%s"; tls = { certificates = { cert = "%s"; key = "%s"; }; };' % (
        NAME, t.path("site.pem"), t.path("site.key")))
    url = "https://%s:%d/" % (NAME, admin[1])
    browser = opened(t, url, trust=leaf.cert, hosts={NAME: admin[0]})
    check_eq(browser.run("return [isSecureContext, location.protocol]"), [True, "https:"])
    drain_by_keys(s, browser, "shop", "web-1")
    no_noise(browser, url)
    browser.close()


# ---- what goes on behind it ----------------------------------------------------------------------

def test_a_reload_keeps_the_place_of_who_looks_on(t):
    one_engine(t)
    s, admin, _ = admin_of(t)
    browser = opened(t, "http://%s:%d/" % admin)
    others = [Stream(admin) for _ in range(5)]
    focus(browser, "web-1", "button.link")
    browser.press("Enter")
    for i in range(5):
        reloaded(s, replace("backends = (", 'backends = ( { name = "new-%d"; address = "%s"; },' % (i, where(t.closed_address()))))
        wait_until(lambda: "shop/new-%d" % i in browser.run(SHOWN), "it is on the page")
        check_eq(browser.run("return document.querySelectorAll('tr.detail').length"), 1, "its details are open")
        check_focus(browser, "shop/web-1 link")
    check(not browser.run("return document.body.classList.contains('stale')"), "never lost")
    for other in others:
        other.until("the last one", lambda o, e: "new-4" in o)
        other.close()
    reloaded(s, lambda text: re.sub(r'{ name = "new-[^}]*},', "", text))
    wait_until(lambda: browser.run(SHOWN) == ["shop/web-1"], "they are gone")
    browser.close()
    s.check_quiet()


def test_an_upgrade_is_followed(t):
    one_engine(t)
    s, admin, _ = admin_of(t)
    browser = opened(t, "http://%s:%d/" % admin)
    check_in("process %d " % s.pid, browser.run(FOOT))
    focus(browser, "web-1", "button.link")
    browser.press("Enter")
    others = [Stream(admin) for _ in range(5)]
    for _ in range(3):
        n = upgraded(t, s)
        for other in others:
            while other.reader.until(b"\n\n") is not None:  # the old one ends them
                pass
            other.close()
        others = []
        wait_until(lambda: "process %d " % n.pid in browser.run(FOOT), "the page is the new one's")
        wait_until(lambda: not browser.run("return document.body.classList.contains('stale')"), "and live")
        s.wait_end()  # nothing keeps the old one
        s = n
    check_eq(browser.run("return document.querySelectorAll('tr.detail').length"), 1, "its details are open")
    drain_by_keys(s, browser, "shop", "web-1")  # with the new one's token
    browser.close()
    s.check_quiet()


def test_a_restart_is_waited_for(t):
    one_engine(t)
    s, admin, _ = admin_of(t)
    browser = opened(t, "http://%s:%d/" % admin)
    text = re.sub(r"(?m)^stats = .*$", "", conf_of(s))
    s.terminate()
    wait_until(lambda: browser.run("return document.body.classList.contains('stale')"), "what it shows is old")
    check_in("What you see is of ", browser.run("return document.querySelector('#banner').innerText"))
    check(browser.run("return document.title").startswith("! "), "its title says so")
    n = t.sluice(text)
    wait_until(lambda: "process %d " % n.pid in browser.run(FOOT), "it is back", seconds=30)
    check(not browser.run("return document.body.classList.contains('stale')"), "and live")
    check(not browser.run("return document.querySelector('#banner').checkVisibility()"), "no banner is left")
    drain_by_keys(n, browser, "shop", "web-1")
    browser.close()
    n.check_quiet()


def test_one_page_too_many_says_why_and_waits(t):
    one_engine(t)
    s, admin, _ = admin_of(t)
    streams = [Stream(admin) for _ in range(32)]
    browser = Browser(t)
    browser.resize(*SIZES["wide"])
    browser.open("http://%s:%d/" % admin)
    banner = "return document.querySelector('#banner').innerText"
    wait_until(lambda: "There are 32 event streams already" in browser.run(banner), "it says why")
    check_in("Waiting for the first figures", browser.run("return document.body.innerText"))
    for stream in streams:
        stream.close()
    wait_until(lambda: browser.run("return document.querySelector('#life-text').innerText") == "Live", "its turn", seconds=30)
    ready(browser)
    check(not browser.run("return document.querySelector('#banner').checkVisibility()"), "no banner is left")
    browser.close()
