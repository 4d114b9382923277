// dashboard_act.js - what people do: search, theme, keys; then everything begins.

// ---- theme: as the system has it, light, dark ----

const THEMES = {
  "": ["Theme: as the system", "M8 2.5a5.5 5.5 0 1 0 0 11zM8 2.5a5.5 5.5 0 0 1 0 11"],
  light: ["Theme: light", "M8 5.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6M8 1.5v1.4M8 13.1v1.4M1.5 8h1.4M13.1 8h1.4M3.4 3.4l1 1M11.6 11.6l1 1M3.4 12.6l1-1M11.6 4.4l1-1"],
  dark: ["Theme: dark", "M13.2 9.6A5.6 5.6 0 0 1 6.4 2.8a5.6 5.6 0 1 0 6.8 6.8z"],
};

function remembered(name) {
  try {
    return localStorage.getItem(name) || "";
  } catch (e) {
    return ""; // a browser that keeps nothing
  }
}

let theme = "";

function showTheme(name) {
  theme = name in THEMES ? name : "";
  if (theme)
    document.documentElement.dataset.theme = theme;
  else
    delete document.documentElement.dataset.theme;
  $("theme").replaceChildren(svg("svg", {viewBox: "0 0 16 16", "aria-hidden": "true"}, svg("path", {d: THEMES[theme][1]})));
  $("theme").setAttribute("aria-label", THEMES[theme][0] + ". Change it");
  $("theme").title = THEMES[theme][0];
}

$("theme").addEventListener("click", () => {
  const names = Object.keys(THEMES), next = names[(names.indexOf(theme) + 1) % names.length];
  try {
    localStorage.setItem("theme", next);
  } catch (e) {
    // then it lasts as long as the page
  }
  showTheme(next);
});

// ---- search, and keys ----

$("search").addEventListener("input", () => narrow($("search").value, filter.kind));

$("clear").addEventListener("click", () => {
  $("search").value = "";
  narrow("", "");
  $("search").focus();
});

// The same control of the next row that has it, or the previous one.
function moveRow(from, by) {
  const name = from.classList.contains("change") ? "td.act .change" : "td.name button.link";
  const all = [...document.querySelectorAll("tr.backend " + name)].filter((e) => e.getClientRects().length > 0);
  const to = all[all.indexOf(from) + by];
  if (to)
    to.focus();
}

function escape(focus) {
  const row = focus.closest("tr.backend");
  if (focus === $("search") || (!row && (filter.text || filter.kind))) {
    $("search").value = "";
    narrow("", "");
    $("search").blur();
  } else if (row && row.querySelector("button.link").getAttribute("aria-expanded") === "true") {
    row.querySelector("button.link").click();
  }
}

document.addEventListener("keydown", (e) => {
  const focus = document.activeElement, typing = /^(INPUT|TEXTAREA)$/.test(focus.tagName);
  if ($("dialog").open || e.ctrlKey || e.metaKey || e.altKey)
    return; // the dialog's, the browser's
  if (e.key === "/" && !typing) {
    e.preventDefault();
    $("search").focus();
    $("search").select();
  } else if (e.key === "Escape") {
    escape(focus);
  } else if ((e.key === "ArrowDown" || e.key === "ArrowUp") && focus.closest("tr.backend")) {
    e.preventDefault();
    moveRow(focus, e.key === "ArrowDown" ? 1 : -1);
  } else if (e.key === "ArrowDown" && focus === $("search")) { // to what was found
    e.preventDefault();
    const first = document.querySelector("tr.backend button.link");
    if (first)
      first.focus();
  }
});

// ---- changes of a backend ----

// Of each: its word, what comes of it, what the button says.
const CHANGES = {
  ready: ["Ready", "Takes traffic again, as its health allows.", "Make ready"],
  drain: ["Drain", "Gets no new work; what it has goes on to its end. Sticky clients still reach it.", "Drain"],
  maint: ["Maintenance", "Gets no work at all, not even of sticky clients, and is not checked.", "Put in maintenance"],
  weight: ["Weight", "Its share of new work, beside the others of its pool.", "Set weight"],
};
// The names stay what was asked, whatever a reload or another process makes of the keys.
const asked = {o: null, pool: "", verb: "", busy: false};

// Whether its pool has nothing else that takes work.
function isLast(o) {
  const uses = (b) => ["up", "failing", "nocheck"].includes(b.state);
  return uses(o) && !objectsOf("B").some((b) => b !== o && b.pool === o.pool && uses(b));
}

function effect() {
  const takesOut = asked.verb === "drain" || asked.verb === "maint" || (asked.verb === "weight" && $("weight").value === "0");
  const last = takesOut && isLast(asked.o);
  mark($("dialog-effect"), "data-kind", last ? "bad" : "");
  say($("dialog-effect"), (asked.verb ? CHANGES[asked.verb][1] : "What is to be done with it?") +
    (last ? ` Nothing else of ${asked.pool} is up: its clients will be turned away.` : ""));
}

function choose(verb) {
  asked.verb = verb;
  $("dialog-reason").hidden = verb !== "drain" && verb !== "maint";
  $("dialog-weight").hidden = verb !== "weight";
  $("weight").disabled = verb !== "weight";
  say($("dialog-confirm"), verb ? CHANGES[verb][2] : "Confirm");
  effect();
  $("dialog-confirm").disabled = verb === "" || asked.busy;
  $("dialog-failure").hidden = true;
}

function askChange(o) {
  asked.o = o;
  asked.pool = data.objects.get(o.pool).name;
  asked.id = idOf(o);
  say($("dialog-title"), asked.id);
  say($("dialog-now"), `${STATES[o.state][0]}, ${count(o.open)} in flight, weight ${o.weight}${o.reason ? ": " + o.reason : ""}`);
  const legend = $("dialog-choices").firstElementChild;
  $("dialog-choices").replaceChildren(legend, ...Object.entries(CHANGES).map(([verb, [word]]) => {
    const input = h("input", {type: "radio", name: "verb", value: verb});
    input.addEventListener("change", () => choose(verb));
    return h("label", {class: "choice"}, input, h("span", {}, word));
  }));
  $("reason").value = "";
  $("weight").value = o.weight;
  choose("");
  $("dialog").showModal();
  $("dialog-choices").querySelector("input").focus();
}

async function change() {
  const form = new URLSearchParams({pool: asked.pool, backend: asked.o.name, verb: asked.verb});
  if (asked.verb === "weight")
    form.set("weight", $("weight").value);
  else if (asked.verb !== "ready")
    form.set("reason", $("reason").value.trim());
  const answer = await fetch(place("/dashboard/change"), {method: "POST", body: form, headers: {"X-Sluice-Token": data.hello.token}});
  if (!answer.ok)
    throw new Error((await answer.text()).trim() || "status " + answer.status);
}

$("dialog-form").addEventListener("submit", async (e) => {
  e.preventDefault();
  if (asked.busy || asked.verb === "")
    return;
  asked.busy = true;
  $("dialog-confirm").disabled = true;
  try {
    await change();
    $("dialog").close();
    say($("spoken"), `${asked.o.name}: ${CHANGES[asked.verb][0]} done`);
  } catch (error) { // a TypeError: the browser reached nobody
    $("dialog-failure").hidden = false;
    say($("dialog-failure"), "It was not done: " + (error instanceof TypeError ? "sluice does not answer." : error.message));
  }
  asked.busy = false;
  $("dialog-confirm").disabled = false;
});

$("weight").addEventListener("input", effect);
$("dialog-cancel").addEventListener("click", () => $("dialog").close());
$("dialog").addEventListener("click", (e) => { // beside it
  if (e.target === $("dialog"))
    $("dialog").close();
});
$("dialog").addEventListener("close", () => { // its row may have been made anew meanwhile
  focusControl(asked.o && {id: asked.id, name: "change"});
});

showTheme(remembered("theme"));
makeChips();
connect();
