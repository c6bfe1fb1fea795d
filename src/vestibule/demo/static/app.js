// What the signed-in page adds when there is JavaScript: the clock, the echo, and the token without a reload.
"use strict";

const at = (id) => document.getElementById(id);

// Server-sent events: one stream for all tabs, for a browser opens six connections to a site and no more.
// Whichever tab holds the lock listens and tells the others; when it goes, the next in line takes over.
const tabs = new BroadcastChannel("tick");
tabs.addEventListener("message", (event) => tick(event.data));

function tick(told) {
  at("clock").textContent = told.time;
  at("here").textContent = told.here.join(", ");
}

navigator.locks.request("events", () => {
  const events = new EventSource("/events");
  events.addEventListener("tick", (event) => {
    const told = JSON.parse(event.data);
    tick(told);
    tabs.postMessage(told);
  });
  return new Promise(() => {}); // held until this tab goes
});

// The echo opens its WebSocket at the first word.
let socket = null;

function say(text) {
  const item = document.createElement("li");
  item.textContent = text;
  at("echo-log").prepend(item);
}

function connected() {
  if (socket !== null && socket.readyState === WebSocket.OPEN) return Promise.resolve(socket);
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/echo`);
  socket.addEventListener("message", (event) => {
    const heard = JSON.parse(event.data);
    say(`${heard.you}: ${heard.said}`);
  });
  socket.addEventListener("close", () => say("— the connection has ended —"));
  return new Promise((resolve, reject) => {
    socket.addEventListener("open", () => resolve(socket), { once: true });
    socket.addEventListener("error", reject, { once: true });
  });
}

at("echo-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = at("echo-text").value;
  if (text === "") return;
  at("echo-text").value = "";
  try {
    (await connected()).send(text);
  } catch {
    // "close" has said so already
  }
});

// The token: what the API tells about it. Its age goes on by itself between two calls.
async function call(method, path) {
  const answer = await fetch(path, { method, headers: { Accept: "application/json" } });
  if (answer.status === 401) location.reload();
  return answer.json();
}

let told = null;

function show(token) {
  told = { ...token, at: performance.now() };
  at("token-serial").textContent = token.serial;
  grow();
}

function grow() {
  if (told === null) return;
  const passed = (performance.now() - told.at) / 1000;
  at("token-age").textContent = Math.round(told.age_s + passed);
  at("token-left").textContent = Math.max(0, Math.round(told.left_s - passed));
}

if (at("token-serial") !== null) {
  call("GET", "/token").then(show);
  setInterval(grow, 1000);
  at("token-call").addEventListener("submit", async (event) => {
    event.preventDefault();
    show(await call("GET", "/token"));
  });
  at("token-expire").addEventListener("submit", async (event) => {
    event.preventDefault();
    await call("POST", "/token/expire");
    show({ ...told, age_s: Number(at("token-age").textContent), left_s: 0 });
  });
}
