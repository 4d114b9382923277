// dashboard_draw.js - what the page is made of: elements, numbers as text, states, charts, strips.
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

// One line, or two (a band between them), over the last minutes; the newest on the right. It is drawn
// up to `top` at least, so that little looks like little; what drawing returns is the most there was.
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
  const most = Math.max(...e.lines.map((l) => points.reduce((m, p) => Math.max(m, p[l.column]), 0)));
  const high = Math.max(top || 0, most);
  for (const {column, area, line} of e.lines) {
    let d = "";
    points.forEach((p, i) => {
      const y = height - pad - (high > 0 ? p[column] / high : 0) * (height - 2 * pad);
      d += (i ? "L" : "M") + ((from + i) * step).toFixed(1) + " " + y.toFixed(1);
    });
    mark(line, "d", d);
    e.toggleAttribute("data-zero", most === 0);
    mark(area, "d", d && d + `L${width} ${height}L${(from * step).toFixed(1)} ${height}Z`);
  }
  return most;
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
