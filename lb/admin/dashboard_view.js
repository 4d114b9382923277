// dashboard_view.js - what is seen: elements made once for each set of objects, then kept up to date.
// Pools and backends are in dashboard_pools.js.

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

// How many are in each kind of state, as one bar.
const KIND_ORDER = ["good", "warn", "bad", "note", "plain"];

function kindsOf() {
  const n = {};
  for (const o of objectsOf("B"))
    n[kindOf(o)] = (n[kindOf(o)] || 0) + 1;
  return n;
}

function backendsTile() {
  const sum = (name) => objectsOf("P").reduce((n, p) => n + p[name], 0);
  const e = tile("Backends", null, () => [String(sum("up")), `of ${sum("of")} up`, sum("up") > 0 || sum("of") === 0 ? "" : "bad"]);
  const words = h("p", {class: "traffic"}), bar = h("div", {class: "kinds", "aria-hidden": "true"}, ...KIND_ORDER.map((kind) => h("i", {"data-kind": kind})));
  e.append(words, bar);
  tiles.push(() => {
    const n = kindsOf();
    KIND_ORDER.forEach((kind, i) => {
      bar.children[i].style.setProperty("flex-grow", String(n[kind] || 0));
      bar.children[i].hidden = !n[kind];
    });
    const text = ["bad", "warn", "note"].filter((kind) => n[kind]).map((kind) => `${n[kind]} ${KINDS[kind].toLowerCase()}`).join(", ");
    say(words, text || "nothing wrong");
  });
  return e;
}

function makeTiles() {
  const connections = () => objectsOf("L").reduce((n, l) => n + l.open, 0);
  $("tiles").append(
    backendsTile(),
    tile("Requests", [0], (a) => [rate(a.now[0]), "per second", "", (m) => "max " + rate(m)], 10),
    tile("Errors", [1], (a) => [share(a.now[1]), "5xx answers", a.now[1] > 100 ? "bad" : "", (m) => "max " + share(m)], 100),
    tile("Latency", [3, 2], (a) => [latency(a.now[3]), "p99 \u00b7 median " + latency(a.now[2]), "", (m) => "max " + latency(m)], 1000));
  const open = tile("Connections", null, (a) => [count(connections()),
    data.process.limit ? "of " + count(data.process.limit) + " at most" : "open"]);
  const traffic = h("p", {class: "traffic"}), used = h("i", {class: "fill used"});
  open.append(traffic, used);
  tiles.push(() => {
    const a = data.objects.get("A");
    used.hidden = !data.process.limit;
    used.style.setProperty("--load", Math.min(100, connections() * 100 / (data.process.limit || 1)) + "%");
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
  showTitle();
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

function showTitle() {
  document.title = (view.lost || data.process.not_ready ? "! " : "") + "sluice" + (data.process.node ? " \u00b7 " + data.process.node : "");
}

function showBanner() {
  const text = view.lost || view.told || "";
  $("banner").hidden = text === "";
  say($("banner"), text);
  if (view.lost)
    $("banner").dataset.kind = "bad";
  const stale = Boolean(view.lost) && data.now > 0;
  document.body.classList.toggle("stale", stale);
  for (const button of document.querySelectorAll("button.change"))
    button.disabled = stale;
  showTitle();
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
  view.lost = state !== "lost" ? "" : why + " Trying again." + (data.now ? ` What you see is of ${clock(new Date(data.now))}.` : "");
  showBanner();
  if (state === "lost")
    showLife("bad", "Reconnecting");
  else if (state === "paused")
    showLife("plain", "Paused");
  else if (data.process.pid)
    showProcess();
};

view.all = () => {
  const places = [window.scrollX, window.scrollY], focused = focusedControl();
  document.body.classList.remove("waiting");
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
  focusControl(focused);
  window.scrollTo(...places);
};

// Which control of which row or pool has the focus: what follows is the same one of another set.
function focusedControl() {
  const e = document.activeElement, of = e && e.closest("[data-id]");
  return of && of !== e ? {id: of.dataset.id, name: e.classList[0]} : null;
}

function focusControl(c) {
  const e = c && document.querySelector(`[data-id="${CSS.escape(c.id)}"] button.${c.name}`);
  if (e)
    e.focus({preventScroll: true});
}

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
