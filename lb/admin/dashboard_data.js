// dashboard_data.js - what is known of sluice: read from the event stream, kept by key. The parts
// of the page are one script: this one comes first, then _draw, _pools, _view and _act.
"use strict";

// Rows by key ("A", "L1", "P2", "B2.1"), each with `points` (the last minutes) and, of a backend,
// `strip` (its health, by minute). See lb/admin/dash_json.c.
const data = {
  objects: new Map(), process: {}, workers: [], certificates: [], events: [],
  now: 0, stripAt: 0, limits: {step_ms: 2000, points: 150, strip_s: 60}, states: [],
  hello: {level: "user", may_change: false, token: ""},
};
const EVENTS_KEPT = 200;

// Calls of the view: all(): the set of objects is new; change(keys, steps): some rows are.
const view = {all() {}, change() {}, life() {}, certificates() {}};

function objectsOf(letter) {
  return [...data.objects.values()].filter((o) => o.k[0] === letter);
}

function pointsOf(flat) {
  const points = [];
  for (let i = 0; i < flat.length; i += 4)
    points.push(flat.slice(i, i + 4));
  return points;
}

function takeAll(state) {
  const old = data.objects;
  data.limits = {step_ms: state.step_ms, points: state.points, strip_s: state.strip_s};
  data.states = state.states;
  data.stripAt = state.strip_at;
  data.objects = new Map();
  for (const o of state.objects) {
    const past = state.history[o.k];
    const known = old.get(o.k);
    o.points = past ? pointsOf(past.points) : known ? known.points : [];
    o.strip = past ? past.strip : known ? known.strip : [];
    data.objects.set(o.k, o);
  }
  data.certificates = state.certificates;
  data.events = state.events.reverse();
}

// The strip's last piece is this minute; it is as bad as its worst moment.
function turnStrips(now) {
  const minute = Math.floor(now / 1000 / data.limits.strip_s);
  const turns = Math.min(Math.max(minute - data.stripAt, 0), 60);
  data.stripAt = minute;
  for (const o of data.objects.values()) {
    if (o.k[0] !== "B")
      continue;
    for (let i = 0; i < turns; i++) {
      o.strip.shift();
      o.strip.push(0);
    }
    if (o.strip.length === 0)
      o.strip = new Array(60).fill(0);
    const is = 1 + data.states.indexOf(o.state);
    if (o.strip[59] < is)
      o.strip[59] = is;
  }
  return turns > 0;
}

function takeChanges(state) {
  const changed = new Set();
  for (const o of state.objects) {
    const known = data.objects.get(o.k);
    if (known === undefined)
      continue;
    const before = known.state;
    Object.assign(known, o);
    known.changed = before !== known.state;
    changed.add(o.k);
  }
  for (let i = 0; i < state.steps; i++) {
    for (const o of data.objects.values()) {
      o.points.push(o.now);
      if (o.points.length > data.limits.points)
        o.points.shift();
    }
  }
  if (state.certificates) {
    data.certificates = state.certificates;
    view.certificates();
  }
  if (state.events) {
    data.events.unshift(...state.events.reverse());
    data.events.length = Math.min(data.events.length, EVENTS_KEPT);
  }
  return changed;
}

function takeState(state) {
  data.now = state.now;
  data.process = state.process;
  data.workers = state.workers;
  if (state.all) {
    takeAll(state);
    turnStrips(data.now);
    view.all();
  } else {
    const changed = takeChanges(state);
    view.change(changed, state.steps > 0, turnStrips(data.now), Boolean(state.events));
  }
}

// ---- the stream ----

const QUIET_MS = 10000;   // no word for so long: the connection is dead
const HIDDEN_MS = 60000;  // a page that nobody looks at gives its stream back
const stream = {abort: null, timer: 0, quiet: 0, wait: 1000, hidden: 0};

function takeEvent(text) {
  let name = "", body = "";
  for (const line of text.split("\n")) {
    if (line.startsWith("event: "))
      name = line.slice(7);
    else if (line.startsWith("data: "))
      body += line.slice(6);
  }
  if (name === "hello")
    data.hello = JSON.parse(body);
  else if (name === "state")
    takeState(JSON.parse(body));
}

// A fault of this page is none of the connection.
function take(text) {
  try {
    takeEvent(text);
  } catch (e) {
    console.error(e);
    throw new Error("This page has a fault (" + e.message + ").");
  }
}

function stayAwake() {
  clearTimeout(stream.quiet);
  stream.quiet = setTimeout(() => stream.abort && stream.abort.abort(), QUIET_MS);
}

// Where we are from, without what a link may have put before the host: fetch() takes no URL with a
// password, and what is relative has that of the page.
const place = (path) => location.origin + path;

// Not EventSource: that one does not tell why it was refused.
async function read() {
  const answer = await fetch(place("/dashboard/stream"), {
    signal: stream.abort.signal, cache: "no-store", headers: {Accept: "text/event-stream"}});
  if (!answer.ok)
    throw new Error((await answer.text()).trim() || "status " + answer.status);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const {value, done} = await reader.read();
    if (done)
      return;
    stayAwake();
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts)
      take(part);
    stream.wait = 1000;
    view.life("live", "");
  }
}

async function connect() {
  let why = "The connection ended.";
  clearTimeout(stream.timer);
  stream.abort = new AbortController();
  stayAwake();
  try {
    await read();
  } catch (e) {
    if (e instanceof TypeError || e.name === "AbortError" || e.name === "NetworkError")
      why = "sluice does not answer.";
    else
      why = e.message;
  }
  clearTimeout(stream.quiet);
  stream.abort = null;
  if (document.hidden && stream.hidden === 0) {
    view.life("paused", "");
    return; // the page's return begins it anew
  }
  view.life("lost", why);
  stream.timer = setTimeout(connect, stream.wait);
  stream.wait = Math.min(stream.wait * 2, 10000);
}

document.addEventListener("visibilitychange", () => {
  clearTimeout(stream.hidden);
  stream.hidden = 0;
  if (document.hidden) {
    stream.hidden = setTimeout(() => {
      stream.hidden = 0;
      if (stream.abort)
        stream.abort.abort();
    }, HIDDEN_MS);
  } else if (stream.abort === null) {
    stream.wait = 1000;
    connect();
  }
});
