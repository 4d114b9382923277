// dashboard_pools.js - backends in rows with details, pools in cards, what search and filter leave of them.

// ---- backends ----

const rows = new Map(); // by key: what keeps each row up to date
const FEW = 24;         // of a larger pool so many are shown at first
// Names, as keys are a process's own and the page outlives it: rows with details, pools.
const opened = new Set(), closed = new Set(), whole = new Set();
const idOf = (o) => o.k[0] === "B" ? data.objects.get(o.pool).name + "/" + o.name : o.name;

const COLUMNS = [["State", "state"], ["Backend", "name"], ["For", "since", "How long it has been in this state"], ["In flight", "open", "In flight, and how many may be"],
  ["Rate", "rate", "Requests (tcp: sessions) per second; the last 5 minutes"], ["Errors", "errors"], ["p50", "p50"], ["p99", "p99"],
  ["Weight", "weight"], ["Last hour", "health"], ["", "act"]];

function backendRow(o) {
  const state = cell("state", "State", stateIcon(), h("span"), h("span", {class: "age"}));
  const toggle = h("button", {type: "button", class: "link", "aria-expanded": String(opened.has(idOf(o)))}, o.name);
  const address = h("span", {class: "address"}), reason = h("span", {class: "reason"});
  const backup = h("span", {class: "badge", hidden: ""}, "backup");
  const name = cell("name", "Backend", h("div", {class: "title"}, toggle, backup, address), reason);
  const age = cell("since", "For", ""), open = cell("open", "In flight", h("span"), h("i", {class: "fill"}));
  const spark = chart(72, 22, [0]), tempo = cell("rate", "Rate", h("span"), spark);
  const errors = cell("errors", "Errors", h("span")), p50 = cell("p50", "p50", ""), p99 = cell("p99", "p99", "");
  const weight = cell("weight", "Weight", ""), past = strip(), health = cell("health", "Last hour", past);
  const act = cell("act", "");
  const tr = h("tr", {class: "backend", "data-key": o.k, "data-id": idOf(o)}, state, name, age, open, tempo, errors, p50, p99, weight, health, act);
  if (data.hello.may_change) {
    const button = h("button", {type: "button", class: "change", "aria-haspopup": "dialog", "aria-label": "Change " + o.name}, "Change");
    button.addEventListener("click", () => askChange(o));
    act.append(button);
  }
  toggle.addEventListener("click", () => toggleDetail(o, tr, toggle));
  live(tr, () => {
    drawChart(spark, o.points, 10);
    mark(past.parentNode, "title", drawStrip(past, o));
  });
  const update = () => {
    showState(state, o);
    say(address, o.address || "no address");
    say(reason, o.reason);
    reason.title = o.reason;
    backup.hidden = !o.backup;
    say(open.firstChild, count(o.open) + (o.limit ? THIN + "/" + THIN + count(o.limit) : ""));
    open.lastChild.style.setProperty("--load", o.limit ? Math.min(100, o.open * 100 / o.limit) + "%" : "0%");
    say(tempo.firstChild, rate(o.now[0]));
    showErrors(errors, o);
    say(p50, latency(o.now[2]));
    say(p99, latency(o.now[3]));
    say(weight, String(o.weight));
    mark(weight, "title", o.weight === o.configured ? "" : "configured: " + o.configured);
    mark(weight, "data-kind", o.weight === o.configured ? "" : "note");
  };
  rows.set(o.k, {o, tr, update, age() {
    say(age, since(o.since));
    say(state.lastChild, age.textContent);
  }});
  return tr;
}

const fact = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));

// As wide as the columns that there is room for.
function spanDetail(detail) {
  const shown = [...detail.closest("table").querySelectorAll("th")].filter((th) => getComputedStyle(th).display !== "none");
  detail.firstChild.colSpan = Math.max(1, shown.length);
}

const widths = new ResizeObserver(() => {
  for (const row of rows.values())
    if (row.detail && row.detail.isConnected)
      spanDetail(row.detail);
});
widths.observe(document.body);

function toggleDetail(o, tr, toggle) {
  const row = rows.get(o.k);
  if (opened.delete(idOf(o))) {
    row.detail.remove();
    row.detail = null;
  } else {
    opened.add(idOf(o));
    showDetail(o, tr);
  }
  toggle.setAttribute("aria-expanded", String(opened.has(idOf(o))));
}

function showDetail(o, tr) {
  const facts = h("dl", {class: "facts"});
  const kinds = [["Rate", [0], rate, 10], ["Errors", [1], share, 100], ["Latency, p50 and p99", [3, 2], latency, 1000]];
  const charts = kinds.map(([title, lines, text, top]) => {
    const c = chart(300, 64, lines), high = h("span", {class: "high"});
    return {c, high, text, top, box: h("figure", {class: "graph"}, h("figcaption", {}, title, high), c,
      h("div", {class: "axis", "aria-hidden": "true"}, h("span", {}, "5 min ago"), h("span", {}, "now")))};
  });
  const td = h("td", {colspan: String(COLUMNS.length)}, h("div", {class: "graphs"}, ...charts.map((c) => c.box)), facts);
  const detail = h("tr", {class: "detail"}, td);
  const draw = () => {
    for (const c of charts)
      say(c.high, "max " + c.text(drawChart(c.c, o.points, c.top)));
    const weight = o.effective === o.weight * 100 ? "" : ", now " + o.effective / 100;
    facts.replaceChildren(
      fact("Last check", [o.check, o.seen].filter(Boolean).join(": ") || NONE),
      fact("Checks", count(o.checks) + ", " + count(o.checks_failed) + " failed"),
      fact("Went down", o.downs + (o.downs === 1 ? " time" : " times")),
      fact("Weight", o.weight + (o.weight === o.configured ? "" : ` (configured: ${o.configured})`) + weight),
      fact("In all", count(o.sessions)),
      fact("Traffic", "to it " + bytes(o.bytes[0]) + ", from it " + bytes(o.bytes[1])),
      fact("In this state since", day(new Date(o.since)) + " " + clock(new Date(o.since))));
  };
  rows.get(o.k).detail = detail;
  live(detail, draw);
  draw();
  if (tr.isConnected) {
    tr.after(detail);
    spanDetail(detail);
  }
}

// ---- pools ----

const pools = []; // {o, card, backends, ...}

function poolCard(o, backends) {
  const title = h("button", {type: "button", class: "link pool-name", "aria-expanded": String(!closed.has(o.name))}, o.name);
  const kind = h("span", {class: "kind"}, o.mode + (backends.length > 1 ? " \u00b7 " + o.balance.replaceAll("_", " ") : ""));
  const sum = h("span", {class: "sum"}, stateIcon(), h("span"));
  const spark = chart(120, 26, [0]);
  const figures = ["rate", "errors", "p50", "p99", "open", "queue"].map((name) => h("div", {class: name}, h("dt"), h("dd")));
  const head = h("div", {class: "pool-head"}, h("h3", {}, title, kind), sum, h("dl", {class: "pool-figures"}, ...figures), h("div", {class: "spark"}, spark));
  const body = h("tbody"), more = h("button", {type: "button", class: "more-rows", hidden: ""});
  const table = h("table", {class: "backends"}, h("caption", {class: "hidden"}, "Backends of pool " + o.name), headings(COLUMNS), body);
  const empty = h("p", {class: "none", hidden: ""}, "No backends yet: the configuration adds some, or “add server” on the stats socket.");
  const card = h("article", {class: "card pool", "data-key": o.k, "data-id": o.name, "aria-label": "Pool " + o.name}, head, table, empty, more);
  const p = {o, backends, card, body, more, table, empty, order: ""};
  title.addEventListener("click", () => {
    if (!closed.delete(o.name))
      closed.add(o.name);
    title.setAttribute("aria-expanded", String(!closed.has(o.name)));
    arrange(p);
  });
  more.addEventListener("click", () => {
    if (!whole.delete(o.name))
      whole.add(o.name);
    arrange(p);
  });
  live(head, () => drawChart(spark, o.points, 10));
  p.head = head;
  const show = (i, name, value, state) => {
    say(figures[i].firstChild, name);
    say(figures[i].lastChild, value);
    mark(figures[i], "data-kind", state || "");
  };
  p.update = () => {
    const worst = o.of === 0 ? "nocheck" : !o.usable ? "down" : o.up < o.of ? "failing" : "up";
    mark(sum, "data-kind", STATES[worst][1]);
    mark(sum.querySelector("path"), "d", STATES[worst][2]);
    say(sum.lastChild, o.of === 0 ? "Empty" : !o.usable ? "Nothing is up" : `${o.up} of ${o.of} up`);
    show(0, "Rate", rate(o.now[0]) + "/s");
    show(1, "Errors", share(o.now[1]), o.now[1] >= 100 ? "bad" : o.now[1] > 0 ? "warn" : "");
    show(2, "p50", latency(o.now[2]));
    show(3, "p99", latency(o.now[3]));
    show(4, "Open", count(o.open));
    show(5, "Queue", count(o.queue), o.queue > 0 ? "warn" : "");
  };
  return p;
}

// ---- what is shown of it: search, kinds of states, few of many ----

const filter = {text: "", kind: ""};
const WORST = ["bad", "warn", "note", "plain", "good"];

const has = (text) => text.toLowerCase().includes(filter.text);

function wanted(p, o) {
  if (filter.kind && kindOf(o) !== filter.kind)
    return false;
  return !filter.text || has(p.o.name) || has(o.name) || has(o.address) || has(o.reason) || has(STATES[o.state][0]);
}

function arrange(p) {
  const all = p.backends.filter((o) => wanted(p, o));
  let shown = all;
  if (all.length > FEW + 4 && !whole.has(p.o.name)) // the worst first, so that none of them is left out for good ones
    shown = [...all].sort((a, b) => WORST.indexOf(kindOf(a)) - WORST.indexOf(kindOf(b))).slice(0, FEW);
  const narrowed = filter.text || filter.kind;
  p.card.hidden = narrowed ? all.length === 0 : false;
  p.table.hidden = closed.has(p.o.name) && !filter.text || p.backends.length === 0;
  p.empty.hidden = p.backends.length > 0 || closed.has(p.o.name);
  p.more.hidden = p.table.hidden || all.length <= FEW + 4;
  say(p.more, whole.has(p.o.name) ? `Show the first ${FEW} only` : `Show all ${all.length} backends`);
  const order = shown.map((o) => o.k).join() + "|" + p.table.hidden;
  if (order === p.order)
    return;
  p.order = order;
  const there = document.activeElement;
  p.body.replaceChildren(...shown.flatMap((o) => {
    const row = rows.get(o.k) || (backendRow(o), rows.get(o.k));
    row.update();
    row.age();
    if (opened.has(idOf(o)) && !row.detail)
      showDetail(o, row.tr);
    return row.detail ? [row.tr, row.detail] : [row.tr];
  }));
  for (const detail of p.body.querySelectorAll(".detail"))
    spanDetail(detail);
  if (there && there !== document.activeElement && p.body.contains(there))
    there.focus();
}

function arrangeAll() {
  pools.forEach(arrange);
  const narrowed = filter.text || filter.kind;
  const none = pools.every((p) => p.card.hidden);
  $("pool-none").hidden = !none;
  $("clear").hidden = !narrowed;
  say($("pool-none-text"), !narrowed ? "There are no pools." : "No backend " + (filter.kind ? `is “${KINDS[filter.kind].toLowerCase()}”` : "") +
    (filter.kind && filter.text ? " and " : "") + (filter.text ? `matches “${filter.text}”` : "") + ".");
  for (const tr of document.querySelectorAll("#listener-list tbody tr"))
    tr.hidden = Boolean(filter.text) && !has(tr.dataset.name);
  $("listeners").hidden = Boolean(filter.text) && !document.querySelector("#listener-list tbody tr:not([hidden])");
  showEvents();
}

const chips = new Map();

// Shows what has this text and is of this kind.
function narrow(text, kind) {
  filter.text = text.trim().toLowerCase();
  filter.kind = kind;
  for (const [k, c] of chips)
    c.b.setAttribute("aria-pressed", String(k === kind));
  countChips();
  arrangeAll();
}

function makeChips() {
  for (const [kind, word] of [["", "All"], ...Object.entries(KINDS)]) {
    const n = h("span", {class: "n"});
    const b = h("button", {type: "button", class: "chip", "data-kind": kind, "aria-pressed": String(kind === "")}, word, n);
    b.addEventListener("click", () => narrow(filter.text, kind));
    chips.set(kind, {b, n});
    $("chips").append(b);
  }
}

function countChips() {
  const n = kindsOf();
  for (const [kind, c] of chips) {
    const many = kind ? n[kind] || 0 : objectsOf("B").length;
    say(c.n, String(many));
    c.b.hidden = many === 0 && kind !== "" && kind !== filter.kind;
  }
}
