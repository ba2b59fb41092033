// Latency over the last half minute: a series of values with percentiles, and their plot.

import { colour } from "./colours.js";

const SECONDS = 30;
const BUCKET_MS = 250; // one point of the line: the median of the chunks within; the shade reaches to the slowest
const PERCENTILE_MS = 10_000;

export class Series {
  #values = []; // { time, ms }, oldest first

  add(ms, time = performance.now()) {
    this.#values.push({ time, ms });
    if (this.#values.length % 500 === 0) {
      const first = this.#values.findIndex((value) => value.time > time - SECONDS * 1000);
      this.#values.splice(0, first);
    }
  }

  /** Percentiles (0 to 1) of the last ten seconds, or null while there is nothing. */
  percentiles(...shares) {
    const since = performance.now() - PERCENTILE_MS;
    const recent = this.#values.filter((value) => value.time > since).map((value) => value.ms).sort((a, b) => a - b);
    if (recent.length === 0) return null;
    return shares.map((share) => recent[Math.min(recent.length - 1, Math.floor(share * recent.length))]);
  }

  /** [seconds ago, median, slowest] of every bucket, oldest first. */
  buckets(now) {
    const buckets = new Map();
    for (const { time, ms } of this.#values) {
      if (now - time > SECONDS * 1000) continue;
      const bucket = Math.floor(time / BUCKET_MS);
      if (!buckets.has(bucket)) buckets.set(bucket, []);
      buckets.get(bucket).push(ms);
    }
    return [...buckets].map(([bucket, values]) => {
      values.sort((a, b) => a - b);
      return [Math.max(0, (now - bucket * BUCKET_MS) / 1000 - BUCKET_MS / 2000), values[values.length >> 1], values.at(-1)];
    });
  }
}

/** Draws `lines`, each { series, property (a colour of the style sheet) }, on a canvas; only its axes while there are none. */
export class LatencyPlot {
  #top = 50;

  constructor(canvas) {
    this.canvas = canvas;
    this.lines = [];
    matchMedia("(prefers-color-scheme: dark)").onchange = () => this.show();
    new ResizeObserver(() => this.show()).observe(canvas);
  }

  show() {
    const { canvas } = this;
    const scale = Math.min(2, devicePixelRatio || 1);
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (width === 0) return;
    if (canvas.width !== Math.round(width * scale)) canvas.width = Math.round(width * scale);
    if (canvas.height !== Math.round(height * scale)) canvas.height = Math.round(height * scale);
    const context = canvas.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    const now = performance.now();
    const drawn = this.lines.map((line) => ({ ...line, points: line.series.buckets(now) }));
    const highest = Math.max(40, ...drawn.flatMap(({ points }) => points.map(([, , slowest]) => slowest)));
    this.#top = niceTop(highest);
    const x = (ago) => 34 + (width - 38) * (1 - ago / SECONDS);
    const y = (ms) => 8 + (height - 26) * (1 - ms / this.#top);
    this.#axes(context, width, height, x, y);
    for (const { points, property } of drawn) {
      context.strokeStyle = context.fillStyle = colour(property);
      for (const run of unbroken(points)) drawRun(context, run, x, y);
    }
  }

  #axes(context, width, height, x, y) {
    context.font = `11px ${getComputedStyle(this.canvas).fontFamily}`;
    context.fillStyle = colour("--muted");
    context.strokeStyle = colour("--line");
    context.lineWidth = 1;
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const share of [0, 0.5, 1]) {
      const at = Math.round(y(share * this.#top)) + 0.5;
      context.beginPath();
      context.moveTo(34, at);
      context.lineTo(width, at);
      context.stroke();
      context.fillText(`${share * this.#top}`, 28, at);
    }
    context.textBaseline = "alphabetic";
    for (const ago of [30, 20, 10]) {
      context.textAlign = ago === SECONDS ? "left" : "center";
      context.fillText(`−${ago} s`, x(ago), height - 3);
    }
    context.textAlign = "right";
    context.fillText("now", width - 2, height - 3);
  }
}

// No line across a lost connection.
function unbroken(points) {
  const runs = [];
  let before = Infinity;
  for (const point of points) {
    if (before - point[0] > 1) runs.push([]);
    runs.at(-1).push(point);
    before = point[0];
  }
  return runs;
}

function drawRun(context, run, x, y) {
  context.globalAlpha = 0.18;
  context.beginPath();
  for (const [ago, , slowest] of run) context.lineTo(x(ago), y(slowest));
  for (const [ago, median] of [...run].reverse()) context.lineTo(x(ago), y(median));
  context.fill();
  context.globalAlpha = 1;
  context.beginPath();
  for (const [ago, median] of run) context.lineTo(x(ago), y(median));
  context.lineWidth = 1.75;
  context.lineJoin = "round";
  context.stroke();
}

function niceTop(value) {
  const step = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 6, 8, 10].find((factor) => factor * step >= value) * step;
}
