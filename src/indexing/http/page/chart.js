// How fast a job goes: files and chunks a second over the last minutes, from the differences of its snapshots.

import { el, svg } from "./dom.js";
import { rate } from "./format.js";

const WIDTH = 600;
const HEIGHT = 80;
const MOST_POINTS = 240;
/** Shorter intervals than this say more about the clock than about the work. */
const LEAST_SECONDS = 0.4;

/** Collects snapshots and turns their differences into rates. */
export class Rates {
  points = [];
  #last = null;

  /** Take a snapshot: seconds since the start, files read and chunks so far. True where that made a new point. */
  add(seconds, files, chunks) {
    const before = this.#last;
    if (before && seconds < before.seconds) this.points = [];
    if (!before || seconds < before.seconds) {
      this.#last = { seconds, files, chunks };
      return false;
    }
    const passed = seconds - before.seconds;
    if (passed < LEAST_SECONDS) return false;
    this.points.push({
      seconds,
      files: Math.max(0, files - before.files) / passed,
      chunks: Math.max(0, chunks - before.chunks) / passed,
    });
    if (this.points.length > MOST_POINTS) this.points.shift();
    this.#last = { seconds, files, chunks };
    return true;
  }
}

/** The points of a line over the whole width, highest value at the top. Pure. */
export function linePoints(values, width = WIDTH, height = HEIGHT) {
  const top = Math.max(...values, 1e-9);
  const step = values.length > 1 ? width / (values.length - 1) : 0;
  return values
    .map((value, at) => `${(at * step).toFixed(1)},${(height - 2 - (value / top) * (height - 6)).toFixed(1)}`)
    .join(" ");
}

/** A chart that is updated in place: `{element, draw(points)}`. */
export function chart() {
  const files = svg("polyline", { class: "files" });
  const chunks = svg("polyline", { class: "chunks" });
  const picture = svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", class: "chart" },
    chunks,
    files,
  );
  const filesNow = el("span", { class: "key files" });
  const chunksNow = el("span", { class: "key chunks" });
  const element = el("figure", { class: "rates", hidden: true }, picture, el("figcaption", {}, filesNow, chunksNow));
  const draw = (points) => {
    element.hidden = points.length < 2;
    if (element.hidden) return;
    files.setAttribute("points", linePoints(points.map((point) => point.files)));
    chunks.setAttribute("points", linePoints(points.map((point) => point.chunks)));
    const last = points[points.length - 1];
    const best = (name) => rate(Math.max(...points.map((point) => point[name])));
    filesNow.textContent = `${rate(last.files)} files/s (most ${best("files")})`;
    chunksNow.textContent = `${rate(last.chunks)} chunks/s (most ${best("chunks")})`;
    picture.setAttribute("aria-label", `Throughput: ${filesNow.textContent}, ${chunksNow.textContent}`);
  };
  return { element, draw };
}
