// All other settings: what is shown, the subject, the network, the scenes.

import { Backgrounds } from "./backgrounds.js";
import { showMeters } from "./meters.js";

const $ = (id) => document.getElementById(id);
const STATES = {
  starting: "Starting",
  live: "Live",
  blind: "Not cut out",
  held: "Held",
  lost: "Camera lost",
  asleep: "Asleep",
  offline: "No connection",
};
const QUALITIES = { live: "Live", balanced: "Balanced", best: "Best" };

export class Controls {
  /** `wish` takes changes of settings, `choose` the name of a scene, `fail` a message. */
  constructor({ wish, choose, fail }) {
    this.wish = wish;
    this.choose = choose;
    this.show = "subject";
    this.scenes = "";
    this.backgrounds = new Backgrounds(wish, fail);
    for (const button of document.querySelectorAll("[data-show]")) {
      button.addEventListener("click", () => this.toggle(button.dataset.show));
    }
    $("softness").addEventListener("input", () => wish({ softness: Number($("softness").value) }));
    $("mirror").addEventListener("change", () => wish({ mirror: $("mirror").checked }));
    for (const id of ["model", "quality"]) {
      $(id).addEventListener("change", () => wish({ [id]: $(id).value }));
    }
  }

  /** Show this instead of the subject, or the subject again. */
  toggle(show) {
    this.wish({ show: this.show === show ? "subject" : show });
  }

  /** Draw all there is; `settings` with what was wished for, `known` as the server has them. */
  draw(state, settings, known) {
    this.state(state.state.name, state.state.reason);
    this.showing(settings.show, known.show);
    this.backgrounds.show(state.choices.backgrounds, settings);
    $("softness").value = settings.softness;
    $("softness-out").textContent = `${Math.round(100 * settings.softness)} %`;
    $("mirror").checked = settings.mirror;
    options($("model"), state.choices.models, settings.model);
    options($("quality"), state.choices.qualities, settings.quality);
    this.offer(state.choices.scenes, state.scene);
    $("camera").textContent = state.state.camera;
    $("output").textContent = state.state.output;
    showMeters(state.meters);
  }

  state(name, reason = "") {
    const word = STATES[name] ?? name;
    if ($("state-name").textContent !== word) $("state-name").textContent = word;
    if ($("state-reason").textContent !== reason) $("state-reason").textContent = reason;
    $("state").dataset.name = name;
    document.title = name === "live" ? "StreamMatte" : `${word} · StreamMatte`;
  }

  /** Say that somebody is hidden only when the server has said so. */
  showing(wished, known) {
    this.show = wished;
    for (const button of document.querySelectorAll("[data-show]")) {
      const show = button.dataset.show;
      button.setAttribute("aria-pressed", String(known === show));
      button.setAttribute("aria-busy", String((wished === show) !== (known === show)));
    }
    const hidden = known === "slate";
    const busy = hidden !== (wished === "slate");
    $("slate-word").textContent = busy ? "One moment…" : hidden ? "Hidden" : "Hide me";
    $("slate-hint").textContent = hidden
      ? "Others see the slate; press to return"
      : "Shows the slate instead of the camera";
  }

  /** Claim nothing of what others see. */
  forget() {
    for (const button of document.querySelectorAll("[data-show]")) {
      button.setAttribute("aria-pressed", "false");
      button.setAttribute("aria-busy", "false");
    }
    $("slate-word").textContent = "Not connected";
    $("slate-hint").textContent = "What others see is not known here";
  }

  offer(scenes = [], current = "") {
    const key = JSON.stringify(scenes);
    $("scenes-card").hidden = scenes.length === 0;
    if (key !== this.scenes) $("scenes").replaceChildren(...scenes.map((scene) => this.scene(scene)));
    this.scenes = key;
    for (const button of $("scenes").children) {
      button.setAttribute("aria-pressed", String(button.value === current));
    }
  }

  scene({ name, key }) {
    const button = Object.assign(document.createElement("button"), { type: "button", value: name });
    button.append(Object.assign(document.createElement("span"), { textContent: name }));
    if (key) {
      button.append(Object.assign(document.createElement("kbd"), { textContent: key }));
      button.setAttribute("aria-keyshortcuts", key);
    }
    button.addEventListener("click", () => this.choose(name));
    return button;
  }

  /** Nothing can be changed while nobody hears it. */
  connected(online) {
    const desk = $("desk");
    desk.classList.toggle("offline", !online);
    for (const one of desk.querySelectorAll("button, .panel :is(input, select)")) one.disabled = !online;
    if (!online) this.forget();
  }
}

function options(select, values, value) {
  const all = values.includes(value) ? values : [...values, value];
  if (select.dataset.key !== all.join("\n")) {
    select.replaceChildren(...all.map((each) => new Option(QUALITIES[each] ?? each, each)));
    select.dataset.key = all.join("\n");
  }
  select.value = value;
}
