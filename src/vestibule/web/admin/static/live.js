"use strict";

// What is shown live. Without this file the pages show what there was when they were loaded.

const state = document.querySelector("[data-live-state]");

function say(what, words) {
  if (!state) return;
  state.hidden = false;
  state.dataset.state = what;
  state.textContent = words;
}

/** Listen to server-sent events; the browser asks again by itself after a break, but not once signed out. */
function listen(url, take) {
  const source = new EventSource(url);
  source.onopen = () => say("live", "live");
  source.onerror = () => say("broken", "not connected");
  source.onmessage = event => take(JSON.parse(event.data));
  source.addEventListener("out", () => {
    source.close();
    location.reload();
  });
  return source;
}

// A part of a page that is made anew by the gateway. What somebody reads with the keyboard is left alone.
for (const part of document.querySelectorAll("[data-live]")) {
  listen(part.dataset.live, ({ html }) => {
    if (!part.contains(document.activeElement)) part.innerHTML = html;
  });
}

// The traffic: rows as they come. All text goes in as text.
function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function milliseconds(value) {
  if (value >= 10000) return `${Math.round(value / 1000)} s`;
  if (value >= 1000) return `${(value / 1000).toFixed(1)} s`;
  return value >= 10 ? `${Math.round(value)} ms` : `${value.toFixed(1)} ms`;
}

function cell(label, content, className = "") {
  const made = element("td", { className }, content);
  made.dataset.label = label;
  return made;
}

function shown(row) {
  const time = element("time", { dateTime: row.at, textContent: row.at.slice(11, 19) });
  const at = row.trace_id ? element("a", { href: `/traces/${encodeURIComponent(row.trace_id)}` }, time) : time;
  if (row.trace_id) at.append(element("span", { className: "unseen" }, ` trace of ${row.method} ${row.path}`));
  const name = element("span", {}, row.name || row.kind);
  if (row.kind !== "host" && row.name) name.append(" ", element("span", { className: "tag" }, row.kind));
  const request = element("span", { dir: "ltr" }, element("span", { className: "mono" }, `${row.method} ${row.path}`));
  const status = element("span", { className: `status-${Math.floor(row.status / 100)}` }, row.status ? String(row.status) : "left");
  const person = element("span", { dir: "auto" });
  if (row.user_id) {
    person.append(element("a", { href: `/people/${encodeURIComponent(row.user_id)}` }, row.person || row.user_id));
  } else {
    person.append(row.person);
  }
  if (row.provider) person.append(" ", element("span", { className: "detail" }, row.provider));
  return element(
    "tr",
    { className: "fresh" },
    cell("Time", element("span", {}, at), "when"),
    cell("Host", name),
    cell("Request", request, "what"),
    cell("Status", status, "end"),
    cell("Took", element("span", {}, milliseconds(row.took_ms)), "end"),
    cell("Person", person),
    cell("Decision", element("span", { dir: "auto" }, row.decision)),
  );
}

for (const table of document.querySelectorAll("[data-traffic]")) {
  const body = table.tBodies[0];
  const most = Number(table.dataset.most);
  const pause = document.querySelector("[data-pause]");
  const empty = document.querySelector("[data-empty]");
  let waiting = [];
  let isPaused = false;

  const show = () => {
    const rows = waiting.slice(-most);
    waiting = [];
    body.prepend(...rows.map(shown).reverse());
    while (body.rows.length > most) body.deleteRow(-1);
    if (body.rows.length) empty.hidden = true;
  };

  pause.hidden = false;
  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    pause.setAttribute("aria-pressed", String(isPaused));
    pause.textContent = isPaused ? "Go on" : "Pause";
    if (!isPaused) show();
  });
  listen(table.dataset.traffic, batch => {
    const rows = batch.filter(row => row.kind !== table.dataset.without);
    waiting.push(...rows);
    if (isPaused) {
      waiting = waiting.slice(-most);
      pause.textContent = waiting.length ? `Go on (${waiting.length} new)` : "Go on";
    } else if (rows.length) {
      show();
    }
  });
}
