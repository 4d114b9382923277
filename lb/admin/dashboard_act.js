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

// ---- search ----

$("search").addEventListener("input", () => {
  filter.text = $("search").value.trim().toLowerCase();
  arrangeAll();
});

document.addEventListener("keydown", (e) => {
  if (e.key === "/" && !e.ctrlKey && !e.metaKey && !e.altKey && !/^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName) && !$("dialog").open) {
    e.preventDefault();
    $("search").focus();
    $("search").select();
  } else if (e.key === "Escape" && document.activeElement === $("search")) {
    $("search").value = "";
    filter.text = "";
    arrangeAll();
    $("search").blur();
  }
});

// ---- changes of a backend ----

const CHANGES = {
  ready: ["Ready", "Takes traffic again, as its health allows."],
  drain: ["Drain", "Gets no new work; what it has goes on to its end. Sticky clients still reach it."],
  maint: ["Maintenance", "Gets no work at all, not even of sticky clients, and is not checked."],
  weight: ["Weight", "Its share of new work, beside the others of its pool."],
};
const asked = {o: null, verb: "", busy: false};

function choose(verb) {
  asked.verb = verb;
  $("dialog-reason").hidden = verb !== "drain" && verb !== "maint";
  $("dialog-weight").hidden = verb !== "weight";
  $("weight").disabled = verb !== "weight";
  say($("dialog-effect"), verb ? CHANGES[verb][1] : "");
  $("dialog-confirm").disabled = verb === "" || asked.busy;
  $("dialog-failure").hidden = true;
}

function askChange(o) {
  asked.o = o;
  say($("dialog-title"), data.objects.get(o.pool).name + "/" + o.name);
  say($("dialog-now"), `Now: ${STATES[o.state][0]}, ${count(o.open)} in flight, weight ${o.weight}`);
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
  const form = new URLSearchParams({pool: data.objects.get(asked.o.pool).name, backend: asked.o.name, verb: asked.verb});
  if (asked.verb === "weight")
    form.set("weight", $("weight").value);
  else if (asked.verb !== "ready")
    form.set("reason", $("reason").value.trim());
  const answer = await fetch("/dashboard/change", {method: "POST", body: form, headers: {"X-Sluice-Token": data.hello.token}});
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
  } catch (error) {
    $("dialog-failure").hidden = false;
    say($("dialog-failure"), "It was not done: " + error.message);
  }
  asked.busy = false;
  $("dialog-confirm").disabled = false;
});

$("dialog-cancel").addEventListener("click", () => $("dialog").close());
$("dialog").addEventListener("click", (e) => { // beside it
  if (e.target === $("dialog"))
    $("dialog").close();
});
$("dialog").addEventListener("close", () => { // its row may have been made anew meanwhile
  const button = asked.o && document.querySelector(`tr[data-key="${asked.o.k}"] .change`);
  if (button)
    button.focus();
});

showTheme(remembered("theme"));
makeChips();
connect();
