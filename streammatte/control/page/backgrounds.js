// What goes behind: tiles, a colour, a blur and its radius, and pictures of one's own.

import { ask, picture } from "./api.js";

const LARGEST = 32 * 1024 * 1024;
const USUAL_RADIUS = 20;
const PAINTS = { green: "#00b140", blue: "#0047bb", red: "#cc0000", grey: "#808080", gray: "#808080" };
const HINT = "Drop a JPEG, PNG or WebP anywhere on this page.";
const $ = (id) => document.getElementById(id);

const isBlur = (value) => /^blur(:|$)/i.test(value);
const isColour = (value) => /^#([\da-f]{3}|[\da-f]{6})$/i.test(value);
const isPaint = (value) => value in PAINTS || value === "black" || value === "white";

const capital = (word) => word.charAt(0).toUpperCase() + word.slice(1);

function radiusOf(value) {
  const radius = Number.parseFloat(value.split(":")[1]);
  return Number.isFinite(radius) ? radius : USUAL_RADIUS;
}

export class Backgrounds {
  /** `wish` takes changes, `fail` a message. */
  constructor(wish, fail) {
    this.wish = wish;
    this.fail = fail;
    this.shown = "";
    this.thumbnails = new Map();
    $("colour").addEventListener("input", () => wish({ background: $("colour").value }));
    $("radius").addEventListener("input", () => {
      wish({ background: `blur:${$("radius").value}` });
    });
    $("fit").addEventListener("change", () => wish({ fit: $("fit").value }));
    $("upload").addEventListener("click", () => $("file").click());
    $("file").addEventListener("change", () => this.upload($("file").files));
    this.acceptDrops();
  }

  /** Show the choices and which of them it is. */
  show(choices, settings) {
    const key = JSON.stringify(choices);
    if (key !== this.shown) this.fill(choices);
    this.shown = key;
    const value = settings.background;
    for (const tile of $("backgrounds").children) {
      const same = isBlur(value) ? isBlur(tile.value) : tile.value === value;
      tile.setAttribute("aria-pressed", String(same));
    }
    $("radius-row").hidden = !isBlur(value);
    $("fit-row").hidden = isBlur(value) || isColour(value) || isPaint(value);
    if (isBlur(value)) this.showRadius(radiusOf(value));
    if (isColour(value) && value.length === 7) $("colour").value = value.toLowerCase();
    $("fit").value = settings.fit;
  }

  showRadius(radius) {
    $("radius").value = radius;
    $("radius-out").textContent = radius;
  }

  fill(choices) {
    const focused = document.activeElement?.closest?.("#backgrounds button")?.value;
    const blurs = choices.filter(({ value }) => isBlur(value)).slice(0, 1);
    const others = choices.filter(({ value }) => !isBlur(value));
    $("backgrounds").replaceChildren(...[...blurs, ...others].map((each) => this.tile(each)));
    const again = [...$("backgrounds").children].find((tile) => tile.value === focused);
    again?.focus();
  }

  tile({ name, value, thumbnail }) {
    const label = isBlur(value) ? "Blur" : isPaint(value) ? capital(name) : name;
    const tile = Object.assign(document.createElement("button"), { type: "button", value, title: label });
    tile.append(this.swatch(value, thumbnail));
    tile.append(Object.assign(document.createElement("span"), { className: "name", textContent: label }));
    tile.addEventListener("click", () => this.wish({ background: value }));
    return tile;
  }

  swatch(value, thumbnail) {
    const swatch = document.createElement(thumbnail ? "img" : "span");
    swatch.className = isBlur(value) ? "swatch blur" : "swatch";
    if (thumbnail) this.load(swatch, thumbnail);
    else if (!isBlur(value)) swatch.style.background = PAINTS[value] ?? value;
    return swatch;
  }

  async load(image, path) {
    image.alt = "";
    try {
      if (!this.thumbnails.has(path)) {
        this.thumbnails.set(path, picture(path).then((jpeg) => URL.createObjectURL(jpeg)));
      }
      image.src = await this.thumbnails.get(path);
    } catch {
      this.thumbnails.delete(path);
      image.classList.add("broken");
    }
  }

  async upload(files) {
    const file = files[0];
    if (!file) return;
    const told = $("upload-state");
    $("upload").disabled = true;
    told.textContent = `Uploading ${file.name}…`;
    try {
      if (file.size > LARGEST) throw new Error(`${file.name} is larger than 32 MiB; give a smaller one`);
      const path = `/api/backgrounds?name=${encodeURIComponent(file.name)}`;
      const { background } = await ask("POST", path, file);
      told.textContent = `${file.name} is behind you now.`;
      this.wish({ background });
    } catch (error) {
      told.textContent = HINT;
      this.fail(error.message);
    } finally {
      $("upload").disabled = false;
      $("file").value = "";
    }
  }

  acceptDrops() {
    const holdsFile = (event) => [...event.dataTransfer.types].includes("Files");
    addEventListener("dragover", (event) => {
      event.preventDefault();
      $("drop").hidden = !holdsFile(event);
    });
    addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) $("drop").hidden = true;
    });
    addEventListener("drop", (event) => {
      event.preventDefault();
      $("drop").hidden = true;
      if (holdsFile(event)) this.upload(event.dataTransfer.files);
    });
  }
}
