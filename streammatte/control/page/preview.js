// The picture: one or two WebSockets of JPEGs, each answered when it is on the screen.

import { listen } from "./api.js";

const RATE = 12;
const STALE = 2500; // milliseconds; the server repeats a picture that stands still every second
const AGAIN = 1000;

/** Draws one view on one canvas until it is closed. */
class Look {
  constructor(view, canvas) {
    this.view = view;
    this.canvas = canvas;
    this.seen = -Infinity;
    this.open();
  }

  get fresh() {
    return performance.now() - this.seen < STALE;
  }

  open() {
    this.socket = listen(`/api/look?view=${this.view}&fps=${RATE}`);
    this.socket.binaryType = "blob";
    this.socket.onmessage = (message) => this.draw(message.data);
    this.socket.onclose = () => {
      this.seen = -Infinity;
      this.timer = setTimeout(() => this.open(), AGAIN);
    };
  }

  async draw(jpeg) {
    const socket = this.socket;
    const image = await createImageBitmap(jpeg);
    if (socket !== this.socket || this.closed) return;
    if (this.canvas.width !== image.width || this.canvas.height !== image.height) {
      this.canvas.width = image.width;
      this.canvas.height = image.height;
      this.canvas.parentElement.style.setProperty("--ratio", `${image.width} / ${image.height}`);
    }
    this.canvas.getContext("2d").drawImage(image, 0, 0);
    image.close();
    this.seen = performance.now();
    if (socket.readyState === WebSocket.OPEN) socket.send("next");
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    this.socket.onclose = null;
    this.socket.close();
  }
}

const NAMES = {
  result: "Result, as others see it",
  source: "Source: the camera",
  matte: "Matte: what is cut out",
  wipe: "Source on the left, result on the right",
};

/** The screen and its choice of views. */
export class Preview {
  constructor(screen) {
    this.screen = screen;
    this.over = screen.querySelector("#over");
    this.under = screen.querySelector("#under");
    this.veil = screen.querySelector("#veil");
    this.wipe = screen.querySelector("#wipe");
    this.looks = [];
    this.online = false;
    for (const radio of document.querySelectorAll("input[name=view]")) {
      radio.addEventListener("change", () => this.show(radio.value));
    }
    this.wipe.addEventListener("input", () => this.slide());
    document.addEventListener("visibilitychange", () => this.start());
    setInterval(() => this.judge(), 250);
  }

  show(view) {
    this.screen.dataset.view = view;
    this.over.setAttribute("aria-label", NAMES[view]);
    this.wipe.hidden = view !== "wipe";
    this.slide();
    this.start();
  }

  slide() {
    const share = `${this.wipe.value}%`;
    this.screen.style.setProperty("--wipe", share);
    this.wipe.setAttribute("aria-valuetext", `${share} source`);
  }

  /** Look at what is chosen, and at nothing while nobody sees it. */
  start() {
    this.stop();
    if (document.hidden || !this.online) return;
    const view = this.screen.dataset.view;
    this.looks = [new Look(view === "wipe" ? "result" : view, this.over)];
    if (view === "wipe") this.looks.push(new Look("source", this.under));
  }

  stop() {
    for (const look of this.looks) look.close();
    this.looks = [];
    this.judge();
  }

  connected(online) {
    if (this.online === online) return;
    this.online = online;
    this.start();
  }

  mirror(mirrored) {
    this.screen.dataset.mirror = mirrored ? "yes" : "no";
  }

  /** Never let an old picture pass for what is seen now. */
  judge() {
    const fresh = this.looks.length > 0 && this.looks.every((look) => look.fresh);
    this.screen.dataset.fresh = fresh ? "yes" : "no";
    this.veil.textContent = this.online ? "Waiting for a picture…" : "Not live: no connection";
  }
}
