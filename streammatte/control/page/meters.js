// How it goes: a tile for each figure, made once and then only filled.

const place = document.querySelector("#meters");
const figure = (value, digits = 0) => (Number.isFinite(value) ? value.toFixed(digits) : "–");

const METERS = [
  ["Output", "fps", (m) => figure(m.fps, 1)],
  ["Network", "fps", (m) => figure(m.network_fps, 1)],
  ["Latency p50", "ms", (m) => figure(m.latency_ms?.p50)],
  ["Latency p99", "ms", (m) => figure(m.latency_ms?.p99)],
  ["Processor", "%", (m) => figure(100 * m.cpu)],
  ["Dropped", "", (m) => figure(m.dropped)],
  ["Repeated", "", (m) => figure(m.repeated)],
  ["Effort", "", level],
];

/** The governor's level in words; 0 is the best. */
function level(meters) {
  if (!Number.isFinite(meters.level)) return "–";
  return meters.level === 0 ? "Full" : `Less, step ${meters.level}`;
}

const cells = METERS.map(([name, unit, read]) => {
  const tile = document.createElement("div");
  const value = document.createTextNode("–");
  const term = Object.assign(document.createElement("dt"), { textContent: name });
  const told = document.createElement("dd");
  told.append(value);
  if (unit) told.append(Object.assign(document.createElement("small"), { textContent: unit }));
  if (read === level) {
    told.className = "words";
    tile.className = "wide";
  }
  tile.append(term, told);
  place.append(tile);
  return { tile, value, read };
});

export function showMeters(meters = {}) {
  for (const { tile, value, read } of cells) {
    const text = read(meters);
    if (value.data !== text) value.data = text;
    if (read === level) tile.title = meters.level_words ?? "";
  }
}
