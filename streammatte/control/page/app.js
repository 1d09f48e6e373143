// The page: what the server says is drawn, what is wished for is sent, and nothing is made up.

import { ask, forgetToken, hasToken, listen, takeToken } from "./api.js";
import { Controls } from "./controls.js";
import { listenToKeys } from "./keys.js";
import { showMeters } from "./meters.js";
import { Preview } from "./preview.js";

const $ = (id) => document.getElementById(id);
const SHORTEST = 500; // milliseconds between two tries
const LONGEST = 4000;
const SILENCE = 3000; // the meters come four times a second
const MOST_ERRORS = 3;

let state = null; // as the server told it last
let socket = null;
let open = false; // whether what was told last still holds
let heard = 0;
let pause = SHORTEST;
let timer = 0;
let sending = null; // changes on their way
let waiting = {}; // changes that follow when those have arrived

const controls = new Controls({ wish, choose, fail });
const preview = new Preview($("screen"));
listenToKeys(controls, () => (isOnline() ? state : null), wish);

function draw() {
  if (!state || !open) return;
  const settings = { ...state.settings, ...sending, ...waiting };
  controls.draw(state, settings, state.settings);
  preview.mirror(settings.mirror);
}

// ---- changing

function wish(changes) {
  Object.assign(waiting, changes);
  draw();
  send();
}

/** One request at a time; what a slider does meanwhile goes with the next. */
async function send() {
  if (sending || Object.keys(waiting).length === 0) return;
  [sending, waiting] = [waiting, {}];
  try {
    const { settings } = await ask("PATCH", "/api/settings", sending);
    if (state) state.settings = settings;
  } catch (error) {
    refused(error);
  }
  sending = null;
  draw();
  send();
}

async function choose(name) {
  try {
    const { settings } = await ask("POST", "/api/scene", { name });
    if (state) Object.assign(state, { settings, scene: name });
    draw();
  } catch (error) {
    refused(error);
  }
}

function refused(error) {
  waiting = {};
  if (error.status === 401) lockOut("The token that this page had is not valid any more.");
  else fail(error.message);
}

function fail(message) {
  const box = document.createElement("div");
  const close = Object.assign(document.createElement("button"), { type: "button", textContent: "✕" });
  close.setAttribute("aria-label", "Dismiss");
  close.addEventListener("click", () => box.remove());
  const text = message.charAt(0).toUpperCase() + message.slice(1);
  box.append(Object.assign(document.createElement("span"), { textContent: text }), close);
  $("errors").append(box);
  while ($("errors").children.length > MOST_ERRORS) $("errors").firstChild.remove();
  setTimeout(() => box.remove(), 12000);
}

// ---- connecting

function isOnline() {
  return socket?.readyState === WebSocket.OPEN && performance.now() - heard < SILENCE;
}

/** Ask first, as a WebSocket does not say why it was refused. */
async function connect() {
  clearTimeout(timer);
  try {
    state = await ask("GET", "/api/state");
  } catch (error) {
    if (error.status === 401) lockOut("The token in the address is wrong, or of an earlier run.");
    else lost(error.status ? error.message : undefined);
    return;
  }
  $("gate").hidden = true;
  $("desk").hidden = false;
  socket = listen("/api/live");
  socket.onmessage = (message) => hear(JSON.parse(message.data));
  socket.onclose = (event) => lost(event.code === 1001 ? "The show has ended; waiting for the next" : undefined);
}

function hear(news) {
  heard = performance.now();
  if (!socket.welcomed) {
    socket.welcomed = true;
    pause = SHORTEST;
    online(true);
  }
  if (news.event === "meters") {
    state.meters = news.meters;
    showMeters(news.meters);
  } else if (news.event === "state") {
    state = news;
    draw();
  }
}

function online(isOn) {
  open = isOn;
  preview.connected(isOn);
  controls.connected(isOn);
}

function lost(reason = "Trying again…") {
  drop();
  online(false);
  controls.state("offline", reason);
  timer = setTimeout(connect, pause);
  pause = Math.min(2 * pause, LONGEST);
}

function drop() {
  if (!socket) return;
  socket.onclose = null;
  socket.onmessage = null;
  socket.close();
  socket = null;
}

setInterval(() => {
  if (socket?.welcomed && !isOnline()) lost("StreamMatte does not answer; trying again…");
}, 500);

// ---- who may come in

function lockOut(reason) {
  clearTimeout(timer);
  drop();
  forgetToken();
  online(false);
  state = null;
  controls.state("offline", "The token is missing or wrong");
  $("gate-reason").textContent = reason;
  $("desk").hidden = true;
  $("gate").hidden = false;
  $("gate-token").focus();
}

$("gate-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const taken = takeToken($("gate-token").value);
  $("gate-token").value = "";
  if (taken) connect();
  else $("gate-reason").textContent = "That is not a token; it has at least 16 letters and figures.";
});

addEventListener("hashchange", () => {
  if (takeToken()) {
    drop();
    connect();
  }
});

takeToken();
if (hasToken()) connect();
else lockOut("Nobody rules your camera without it, not even a web page that you visit.");
