// dashboard_view.js - what is seen: elements made once for each set of objects, then kept up to date.
// All text goes in as text; nothing here takes markup (and the page's policy forbids it).

const $ = (id) => document.getElementById(id);

// An element: attributes, then children (elements or text).
function h(tag, attributes, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {}))
    e.setAttribute(name, value);
  e.append(...children);
  return e;
}

const SVG = "http://www.w3.org/2000/svg";
function svg(tag, attributes, ...children) {
  const e = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes || {}))
    e.setAttribute(name, value);
  e.append(...children);
  return e;
}

function say(element, text) {
  if (element.textContent !== text)
    element.textContent = text;
}

function mark(element, name, value) {
  if (element.getAttribute(name) !== value)
    element.setAttribute(name, value);
}

// ---- numbers and times ----

const THIN = "\u202f", NONE = "\u2013";

function scaled(n, steps, unit) {
  let i = 0;
  while (n >= 999.5 && i < steps.length - 1) {
    n /= unit;
    i++;
  }
  return (i > 0 && n < 9.95 ? n.toFixed(1) : n.toFixed(0)) + (steps[i] ? THIN + steps[i] : "");
}

const count = (n) => scaled(n, ["", "k", "M", "G"], 1000);
const bytes = (n) => scaled(n, ["B/s", "kB/s", "MB/s", "GB/s"], 1000);

function rate(tenths) {
  return tenths > 0 && tenths < 100 ? (tenths / 10).toFixed(1) : count(tenths / 10);
}

function share(parts) { // of 10,000
  if (parts === 0)
    return "0" + THIN + "%";
  if (parts < 10)
    return "<0.1" + THIN + "%";
  return (parts < 1000 ? (parts / 100).toFixed(1) : (parts / 100).toFixed(0)) + THIN + "%";
}

function latency(us) {
  if (us === 0)
    return NONE;
  if (us < 9950)
    return (us / 1000).toFixed(us < 995 ? 2 : 1) + THIN + "ms";
  return us < 999500 ? (us / 1000).toFixed(0) + THIN + "ms" : (us / 1e6).toFixed(us < 9.95e6 ? 1 : 0) + THIN + "s";
}

function since(ms) {
  const s = Math.max(0, Math.floor((data.now - ms) / 1000));
  if (s < 60)
    return s + THIN + "s";
  if (s < 3600)
    return Math.floor(s / 60) + THIN + "min";
  if (s < 86400)
    return Math.floor(s / 3600) + THIN + "h" + (s % 3600 >= 60 ? " " + Math.floor((s % 3600) / 60) + THIN + "min" : "");
  return Math.floor(s / 86400) + THIN + "d" + (s % 86400 >= 3600 ? " " + Math.floor((s % 86400) / 3600) + THIN + "h" : "");
}

const two = (n) => String(n).padStart(2, "0");
const day = (d) => d.getFullYear() + "-" + two(d.getMonth() + 1) + "-" + two(d.getDate());
const clock = (d) => two(d.getHours()) + ":" + two(d.getMinutes()) + ":" + two(d.getSeconds());

// ---- states: a word and a shape each, so that colour is never all there is ----

const STATES = {
  up: ["Up", "good", "M3.5 8.5 6.5 11.5 12.5 5"],
  nocheck: ["No check", "plain", "M5 8h6"],
  unknown: ["Unknown", "plain", "M6 6a2 2 0 1 1 2.6 1.9c-.4.2-.6.5-.6 1.1M8 11.2v.1"],
  failing: ["Failing", "warn", "M8 4.5v4M8 11v.2"],
  rising: ["Rising", "warn", "M8 12V4.5M5 7.5l3-3 3 3"],
  drain: ["Draining", "note", "M8 4v7.5M5 8.5l3 3 3-3"],
  maint: ["Maintenance", "note", "M6 4.8v6.4M10 4.8v6.4"],
  ejected: ["Ejected", "bad", "M4.8 9.2 8 5l3.2 4.2zM4.8 11.6h6.4"],
  unresolved: ["No address", "bad", "M6 6a2 2 0 1 1 2.6 1.9c-.4.2-.6.5-.6 1.1M8 11.2v.1"],
  down: ["Down", "bad", "M5 5l6 6M11 5l-6 6"],
};
const KINDS = {good: "Up", warn: "Failing", bad: "Down", note: "Taken out", plain: "No verdict"};
const kindOf = (o) => STATES[o.state][1];

function stateIcon() {
  return svg("svg", {viewBox: "0 0 16 16", class: "shape", "aria-hidden": "true"},
    svg("circle", {cx: 8, cy: 8, r: 7.5}), svg("path"));
}

function showState(cell, o) {
  mark(cell, "data-kind", kindOf(o));
  mark(cell.querySelector("path"), "d", STATES[o.state][2]);
  // HAProxy's words have the count of checks: "UP 1/3".
  const steps = /\d+\/\d+/.exec(o.status);
  say(cell.querySelector("span"), STATES[o.state][0] + (steps && (o.state === "failing" || o.state === "rising") ? " " + steps[0] : ""));
}

// ---- charts ----

// One line, or two (a band between them), over the last minutes; the newest on the right.
function chart(width, height, what) {
  const e = svg("svg", {viewBox: `0 0 ${width} ${height}`, class: "chart", preserveAspectRatio: "none", "aria-hidden": "true"});
  e.lines = what.map((column) => {
    const area = svg("path", {class: "area c" + column});
    const line = svg("path", {class: "line c" + column, "vector-effect": "non-scaling-stroke"});
    e.append(area, line);
    return {column, area, line};
  });
  e.size = [width, height];
  return e;
}

function drawChart(e, points, top) {
  const [width, height] = e.size, n = data.limits.points, pad = 1.5;
  const step = width / (n - 1), from = n - points.length;
  const high = Math.max(top || 0, ...e.lines.map((l) => points.reduce((m, p) => Math.max(m, p[l.column]), 0)));
  for (const {column, area, line} of e.lines) {
    let d = "";
    points.forEach((p, i) => {
      const y = height - pad - (high > 0 ? p[column] / high : 0) * (height - 2 * pad);
      d += (i ? "L" : "M") + ((from + i) * step).toFixed(1) + " " + y.toFixed(1);
    });
    mark(line, "d", d);
    e.toggleAttribute("data-zero", high === (top || 0) && points.every((p) => p[column] === 0));
    mark(area, "d", d && d + `L${width} ${height}L${(from * step).toFixed(1)} ${height}Z`);
  }
  return high;
}

// Charts out of sight are not drawn.
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    entry.target.isSeen = entry.isIntersecting;
    if (entry.isIntersecting && entry.target.draw)
      entry.target.draw();
  }
}, {rootMargin: "200px"});

function live(element, draw) {
  element.draw = draw;
  seen.observe(element);
  return element;
}

function strip() {
  const e = svg("svg", {viewBox: "0 0 180 18", class: "strip", role: "img", preserveAspectRatio: "none"});
  for (let i = 0; i < 60; i++)
    e.append(svg("rect", {x: i * 3, width: 2.2}));
  return e;
}

function drawStrip(e, o) {
  const heights = {good: 12, plain: 9, note: 9, warn: 15, bad: 18};
  const minutes = {};
  o.strip.forEach((piece, i) => {
    const r = e.children[i], state = piece && data.states[piece - 1];
    const kind = state ? STATES[state][1] : "none";
    const tall = heights[kind] || 2;
    mark(r, "data-kind", kind);
    mark(r, "y", String(18 - tall));
    mark(r, "height", String(tall));
    if (state)
      minutes[STATES[state][0]] = (minutes[STATES[state][0]] || 0) + 1;
  });
  const words = Object.entries(minutes).map(([word, n]) => `${word.toLowerCase()} ${n} min`).join(", ");
  mark(e, "aria-label", "Health of the last hour, by the worst of each minute: " + (words || "nothing yet"));
  return words;
}

// ---- tiles ----

const tiles = [];

function tile(title, lines, draw, top) {
  const value = h("span", {class: "value"}), more = h("span", {class: "more"});
  const c = lines ? chart(240, 44, lines) : null, high = h("span", {class: "high"});
  const e = h("div", {class: "tile"}, h("h2", {}, title), h("div", {class: "figures"}, value, more));
  if (c)
    e.append(h("div", {class: "graph"}, high, c));
  tiles.push(() => {
    const all = data.objects.get("A");
    const shown = draw(all);
    say(value, shown[0]);
    say(more, shown[1]);
    mark(e, "data-kind", shown[2] || "");
    if (c)
      say(high, shown[3](drawChart(c, all.points, top)));
  });
  return e;
}

function bars() {
  const e = h("div", {class: "loads"});
  tiles.push(() => {
    while (e.children.length < Math.min(data.workers.length, 64))
      e.append(h("i"));
    data.workers.slice(0, 64).forEach((w, i) => e.children[i].style.setProperty("--load", w[0] + "%"));
  });
  return e;
}

function makeTiles() {
  const connections = () => objectsOf("L").reduce((n, l) => n + l.open, 0);
  $("tiles").append(
    tile("Requests", [0], (a) => [rate(a.now[0]), "per second", "", (m) => "max " + rate(m)], 10),
    tile("Errors", [1], (a) => [share(a.now[1]), "5xx answers", a.now[1] > 100 ? "bad" : "", (m) => "max " + share(m)], 100),
    tile("Latency", [3, 2], (a) => [latency(a.now[3]), "p99 \u00b7 median " + latency(a.now[2]), "", (m) => "max " + latency(m)], 1000));
  const open = tile("Connections", null, (a) => [count(connections()),
    data.process.limit ? "of " + count(data.process.limit) + " at most" : "open"]);
  const traffic = h("p", {class: "traffic"});
  open.append(traffic);
  tiles.push(() => {
    const a = data.objects.get("A");
    say(traffic, "in " + bytes(a.bytes[0]) + " \u00b7 out " + bytes(a.bytes[1]));
  });
  const load = tile("Load", null, () => {
    const n = data.workers.length || 1;
    return [Math.round(data.workers.reduce((s, w) => s + w[0], 0) / n) + THIN + "%", `of ${n} worker${n > 1 ? "s" : ""}`];
  });
  load.append(bars());
  $("tiles").append(open, load);
}

// ---- tables ----

function headings(names) {
  return h("thead", {}, h("tr", {}, ...names.map(([text, name, title]) => {
    const th = h("th", {scope: "col", class: name}, text);
    if (title)
      th.title = title;
    return th;
  })));
}

const cell = (name, label, ...inside) => h("td", {class: name, "data-label": label}, ...inside);

function showErrors(td, o) {
  say(td.lastChild, o.now[0] === 0 && o.now[1] === 0 ? NONE : share(o.now[1]));
  mark(td, "data-kind", o.now[1] >= 100 ? "bad" : o.now[1] > 0 ? "warn" : "");
}

// ---- backends ----

const rows = new Map(); // by key: what keeps each row up to date
const FEW = 24;         // of a larger pool so many are shown at first
const opened = new Set(), closed = new Set(), whole = new Set(); // keys: rows with details, pools

const COLUMNS = [["State", "state"], ["Backend", "name"], ["Since", "since"], ["In flight", "open", "In flight, and how many may be"],
  ["Rate", "rate", "Requests (tcp: sessions) per second; the last 5 minutes"], ["Errors", "errors"], ["p50", "p50"], ["p99", "p99"],
  ["Weight", "weight"], ["Last hour", "health"], ["", "act"]];

function backendRow(o) {
  const state = cell("state", "State", stateIcon(), h("span"), h("span", {class: "age"}));
  const toggle = h("button", {type: "button", class: "link", "aria-expanded": String(opened.has(o.k))}, o.name);
  const address = h("span", {class: "address"}), reason = h("span", {class: "reason"});
  const backup = h("span", {class: "badge", hidden: ""}, "backup");
  const name = cell("name", "Backend", h("div", {class: "title"}, toggle, backup, address), reason);
  const age = cell("since", "Since", ""), open = cell("open", "In flight", h("span"), h("i", {class: "fill"}));
  const spark = chart(96, 22, [0]), tempo = cell("rate", "Rate", h("span"), spark);
  const errors = cell("errors", "Errors", h("span")), p50 = cell("p50", "p50", ""), p99 = cell("p99", "p99", "");
  const weight = cell("weight", "Weight", ""), past = strip(), health = cell("health", "Last hour", past);
  const act = cell("act", "");
  const tr = h("tr", {class: "backend", "data-key": o.k}, state, name, age, open, tempo, errors, p50, p99, weight, health, act);
  if (data.hello.may_change) {
    const button = h("button", {type: "button", class: "change", "aria-haspopup": "dialog"}, "Change");
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
  if (opened.delete(o.k)) {
    row.detail.remove();
    row.detail = null;
  } else {
    opened.add(o.k);
    showDetail(o, tr);
  }
  toggle.setAttribute("aria-expanded", String(opened.has(o.k)));
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
  const title = h("button", {type: "button", class: "link pool-name", "aria-expanded": String(!closed.has(o.k))}, o.name);
  const kind = h("span", {class: "kind"}, o.mode + (backends.length > 1 ? " \u00b7 " + o.balance.replaceAll("_", " ") : ""));
  const sum = h("span", {class: "sum"}, stateIcon(), h("span"));
  const spark = chart(120, 26, [0]);
  const figures = ["rate", "errors", "p50", "p99", "open", "queue"].map((name) => h("div", {class: name}, h("dt"), h("dd")));
  const head = h("div", {class: "pool-head"}, h("h3", {}, title, kind), sum, h("dl", {class: "pool-figures"}, ...figures), h("div", {class: "spark"}, spark));
  const body = h("tbody"), more = h("button", {type: "button", class: "more-rows", hidden: ""});
  const table = h("table", {class: "backends"}, h("caption", {class: "hidden"}, "Backends of pool " + o.name), headings(COLUMNS), body);
  const card = h("article", {class: "card pool", "data-key": o.k, "aria-label": "Pool " + o.name}, head, table, more);
  const p = {o, backends, card, body, more, table, order: ""};
  title.addEventListener("click", () => {
    if (!closed.delete(o.k))
      closed.add(o.k);
    title.setAttribute("aria-expanded", String(!closed.has(o.k)));
    arrange(p);
  });
  more.addEventListener("click", () => {
    if (!whole.delete(o.k))
      whole.add(o.k);
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
    const worst = !o.usable ? "down" : o.up < o.of ? "failing" : "up";
    mark(sum, "data-kind", STATES[worst][1]);
    mark(sum.querySelector("path"), "d", STATES[worst][2]);
    say(sum.lastChild, !o.usable ? "Nothing is up" : `${o.up} of ${o.of} up`);
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

const has = (text) => text.toLowerCase().includes(filter.text);

function wanted(p, o) {
  if (filter.kind && kindOf(o) !== filter.kind)
    return false;
  return !filter.text || has(p.o.name) || has(o.name) || has(o.address) || has(o.reason) || has(STATES[o.state][0]);
}

function arrange(p) {
  const all = p.backends.filter((o) => wanted(p, o));
  let shown = all;
  if (all.length > FEW + 4 && !whole.has(p.o.k)) { // those with trouble first of all
    const trouble = new Set(all.filter((o) => !["good", "plain"].includes(kindOf(o))).slice(0, FEW));
    let room = FEW - trouble.size;
    shown = all.filter((o) => trouble.has(o) || room-- > 0);
  }
  const narrowed = filter.text || filter.kind;
  p.card.hidden = narrowed ? all.length === 0 : false;
  p.table.hidden = closed.has(p.o.k) && !filter.text;
  p.more.hidden = p.table.hidden || all.length <= FEW + 4;
  say(p.more, whole.has(p.o.k) ? "Show fewer" : `Show all ${all.length} backends`);
  const order = shown.map((o) => o.k).join() + "|" + p.table.hidden;
  if (order === p.order)
    return;
  p.order = order;
  const there = document.activeElement;
  p.body.replaceChildren(...shown.flatMap((o) => {
    const row = rows.get(o.k) || (backendRow(o), rows.get(o.k));
    row.update();
    row.age();
    if (opened.has(o.k) && !row.detail)
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
  const none = pools.length > 0 && pools.every((p) => p.card.hidden);
  $("pool-none").hidden = !none;
  say($("pool-none"), "No backend " + (filter.kind ? `is “${KINDS[filter.kind].toLowerCase()}”` : "is there") + (filter.text ? ` and matches “${filter.text}”.` : "."));
  for (const tr of document.querySelectorAll("#listener-list tbody tr"))
    tr.hidden = Boolean(filter.text) && !has(tr.dataset.name);
  showEvents();
}

const chips = new Map();

function makeChips() {
  for (const [kind, word] of [["", "All"], ...Object.entries(KINDS)]) {
    const n = h("span", {class: "n"});
    const b = h("button", {type: "button", class: "chip", "data-kind": kind, "aria-pressed": String(kind === "")}, word, n);
    b.addEventListener("click", () => {
      filter.kind = kind;
      for (const [k, c] of chips)
        c.b.setAttribute("aria-pressed", String(k === kind));
      arrangeAll();
    });
    chips.set(kind, {b, n});
    $("chips").append(b);
  }
}

function countChips() {
  const n = {};
  for (const o of objectsOf("B"))
    n[kindOf(o)] = (n[kindOf(o)] || 0) + 1;
  for (const [kind, c] of chips) {
    const many = kind ? n[kind] || 0 : objectsOf("B").length;
    say(c.n, String(many));
    c.b.hidden = many === 0 && kind !== "" && kind !== filter.kind;
  }
}

// ---- listeners ----

const LISTENER_COLUMNS = [["Listener", "name"], ["Open", "open"], ["Rate", "rate"], ["Errors", "errors"], ["p50", "p50"],
  ["p99", "p99"], ["In", "bytes"], ["Out", "bytes"], ["Refused", "refused", "Connections and requests refused since the start"]];

function listenerRow(o) {
  const spark = chart(96, 22, [0]), errors = cell("errors", "Errors", h("span"));
  const cells = [cell("open", "Open", h("span"), h("i", {class: "fill"})), cell("rate", "Rate", h("span"), spark), errors,
    ...["p50", "p99", "In", "Out", "Refused"].map((name) => cell(name === "In" || name === "Out" ? "bytes" : name.toLowerCase(), name, ""))];
  const name = cell("name", "Listener", h("div", {class: "title"}, h("span", {class: "strong"}, o.name), h("span", {class: "badge"}, o.mode + (o.tls ? " \u00b7 tls" : ""))));
  const tr = h("tr", {"data-name": o.name, "data-key": o.k}, name, ...cells);
  live(tr, () => drawChart(spark, o.points, 10));
  rows.set(o.k, {o, tr, age() {}, update() {
    say(cells[0].firstChild, count(o.open) + (o.limit ? THIN + "/" + THIN + count(o.limit) : ""));
    cells[0].lastChild.style.setProperty("--load", o.limit ? Math.min(100, o.open * 100 / o.limit) + "%" : "0%");
    say(cells[1].firstChild, rate(o.now[0]));
    showErrors(errors, o);
    say(cells[3], latency(o.now[2]));
    say(cells[4], latency(o.now[3]));
    say(cells[5], bytes(o.bytes[0]));
    say(cells[6], bytes(o.bytes[1]));
    say(cells[7], count(o.refused));
  }});
  return tr;
}

// ---- certificates, workers, events ----

function showCertificates() {
  const list = [...data.certificates].sort((a, b) => a.days - b.days);
  $("certificates").hidden = list.length === 0;
  $("certificate-list").replaceChildren(h("ul", {class: "certificates"}, ...list.map((c) => {
    const kind = c.days < 7 || c.refused ? "bad" : c.days < 21 ? "warn" : "good";
    const names = c.names.length ? c.names : [c.subject];
    const state = h("span", {class: "sum", "data-kind": kind}, stateIcon(),
      h("span", {}, c.days < 0 ? "expired" : c.days === 1 ? "1 day" : c.days + " days"));
    state.querySelector("path").setAttribute("d", STATES[{good: "up", warn: "failing", bad: "down"}[kind]][2]);
    const more = [c.listener, c.key, "until " + day(new Date(c.until * 1000)), ...(c.stapled ? ["stapled"] : []),
      ...(c.refused ? ["newer files were refused"] : [])].join(" \u00b7 ");
    const li = h("li", {}, h("div", {}, h("span", {class: "strong"}, names[0] + (names.length > 1 ? ` and ${names.length - 1} more` : "")),
      h("span", {class: "address"}, more)), state);
    li.title = names.join(", ") + "\n" + c.file + "\nissued by " + c.issuer;
    return li;
  })));
}

function showWorkers() {
  const list = $("worker-list");
  while (list.children.length > data.workers.length)
    list.lastChild.remove();
  data.workers.forEach((w, i) => {
    if (i >= list.children.length)
      list.append(h("div", {class: "worker"}, h("span", {}, String(i + 1)), h("i", {class: "fill"}), h("span", {class: "number"}), h("span", {class: "number muted"})));
    const e = list.children[i];
    e.children[1].style.setProperty("--load", w[0] + "%");
    say(e.children[2], w[0] + THIN + "%");
    say(e.children[3], count(w[1]) + " open" + (w[3] ? ", " + count(w[3]) + " refused" : ""));
  });
}

const GRAVE = {error: "bad", crit: "bad", warn: "warn", warning: "warn"};

function showEvents() {
  const list = data.events.filter((e) => !filter.text || has(e.text) || has(e.object || "") || has(e.kind)).slice(0, 100);
  say($("events-count"), filter.text ? list.length + " found" : "");
  const kept = new Map([...$("event-list").children].map((li) => [li.dataset.serial, li]));
  let last = "";
  $("event-list").replaceChildren(...list.map((e) => {
    const at = new Date(e.time_us / 1000), today = day(at);
    let li = kept.get(String(e.serial));
    if (!li) {
      li = h("li", {"data-serial": String(e.serial), "data-kind": GRAVE[e.severity] || ""},
        h("time", {datetime: at.toISOString()}, clock(at)), h("span", {class: "tag"}, e.kind), h("span", {class: "text"}, e.text));
      if (GRAVE[e.severity])
        li.querySelector(".tag").prepend(e.severity === "warn" || e.severity === "warning" ? "! " : "!! ");
    }
    if (today !== last && last !== "")
      li.setAttribute("data-day", today);
    else
      li.removeAttribute("data-day");
    last = today;
    return li;
  }));
  if (list.length === 0)
    $("event-list").append(h("li", {class: "none"}, filter.text ? "Nothing matches." : "Nothing has happened yet."));
}

view.certificates = showCertificates;

// ---- the process ----

function showProcess() {
  const p = data.process;
  say($("node"), p.description || p.node);
  document.title = (p.not_ready ? "! " : "") + "sluice \u00b7 " + p.node;
  say($("foot"), `sluice ${p.version} \u00b7 process ${p.pid} \u00b7 up ${since(p.started)} \u00b7 ${p.engine} \u00b7 ${{
    user: "this page only shows", operator: "this page only shows"}[data.hello.level] || "this page may change things"}`);
  const banner = $("banner");
  let text = "";
  if (p.ending)
    text = `sluice ends (${p.ending}): ${p.life}` + (p.left ? `, ${Math.ceil(p.left / 1000)} s left at most.` : ".");
  else if (p.not_ready)
    text = "Not ready: " + p.not_ready + ".";
  else if (p.left_out)
    text = `${p.left_out} more backends are not shown here: there are too many.`;
  view.told = text;
  showBanner();
  if (view.state === "live")
    showLife(p.ending ? "note" : p.not_ready ? "bad" : "good", p.ending ? "Draining" : p.not_ready ? "Not ready" : "Live");
  banner.dataset.kind = p.ending || !p.not_ready ? "note" : "bad";
}

function showBanner() {
  const text = view.lost || view.told || "";
  $("banner").hidden = text === "";
  say($("banner"), text);
  if (view.lost)
    $("banner").dataset.kind = "bad";
  document.body.classList.toggle("stale", Boolean(view.lost));
}

function showLife(kind, text) {
  mark($("life"), "data-kind", kind);
  say($("life-text"), text);
}

view.life = (state, why) => {
  if (view.state === state && view.why === why)
    return;
  view.state = state;
  view.why = why;
  view.lost = state === "lost" ? "No news: " + why + " Trying again." : "";
  showBanner();
  if (state === "lost")
    showLife("bad", "Reconnecting");
  else if (state === "paused")
    showLife("plain", "Paused");
  else if (data.process.pid)
    showProcess();
};

view.all = () => {
  const places = [window.scrollX, window.scrollY];
  seen.disconnect();
  rows.clear();
  pools.length = 0;
  if (tiles.length === 0)
    makeTiles();
  const backends = objectsOf("B");
  for (const o of objectsOf("P"))
    pools.push(poolCard(o, backends.filter((b) => b.pool === o.k)));
  $("pool-list").replaceChildren(...pools.map((p) => p.card));
  const listeners = objectsOf("L");
  $("listener-list").replaceChildren(h("table", {class: "plain"}, headings(LISTENER_COLUMNS), h("tbody", {}, ...listeners.map(listenerRow))));
  showCertificates();
  arrangeAll();
  showAll(true);
  window.scrollTo(...places);
};

function showAll(points) {
  for (const t of tiles)
    t();
  for (const p of pools)
    p.update();
  for (const row of rows.values()) {
    row.update();
    row.age();
  }
  if (points)
    drawSeen();
  countChips();
  showWorkers();
  showProcess();
}

function drawSeen() {
  for (const p of pools)
    if (p.head.isSeen)
      p.head.draw();
  for (const row of rows.values()) {
    if (row.tr.isSeen && row.tr.draw)
      row.tr.draw();
    if (row.detail && row.detail.isSeen)
      row.detail.draw();
  }
}

view.change = (changed, points, turned, events) => {
  const spoken = [];
  let moved = false;
  for (const k of changed) {
    const row = rows.get(k), o = data.objects.get(k);
    if (row)
      row.update();
    if (o.changed) {
      moved = true;
      o.changed = false;
      spoken.push(`${data.objects.get(o.pool).name}/${o.name}: ${STATES[o.state][0]}`);
    }
  }
  for (const p of pools)
    if (changed.has(p.o.k))
      p.update();
  for (const row of rows.values())
    row.age();
  if (points) {
    for (const t of tiles)
      t();
    showWorkers();
  }
  if (points || turned || moved)
    drawSeen();
  if (moved) {
    countChips();
    pools.forEach(arrange);
    say($("spoken"), spoken.slice(0, 5).join(". "));
  }
  if (events)
    showEvents();
  showProcess();
};
