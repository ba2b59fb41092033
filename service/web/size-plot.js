// Size against quality as SVG: one mark per variant, a shape per model, the noisy input as a line, the playing one ringed.

import { bytes, figure } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 340;
const LEFT = 50;
const RIGHT = 24;
const TOP = 24;
const BOTTOM = 46;
const LABEL_HEIGHT = 16;
const LETTER = 6.9; // about the width of one in a label

export const MEASURES = {
  pesq: { title: "PESQ", digits: 2 },
  stoi: { title: "STOI", digits: 3 },
  si_sdr: { title: "SI-SDR, dB", digits: 1 },
};

/** Draw into `container`; `playing` is "model/variant" or empty. False when no variant has the measure. */
export function drawSizePlot(container, rows, measure, playing) {
  const points = rows
    .filter((row) => row.evaluation?.scores?.[measure])
    .map((row) => ({ ...row, ...row.evaluation.scores[measure], noisy: row.evaluation.noisy?.[measure]?.mean }));
  if (points.length === 0) {
    container.replaceChildren();
    return false;
  }
  const width = Math.max(300, container.clientWidth || 900);
  const x = logScale(points.map((point) => point.model_bytes), LEFT + 14, width - RIGHT - 14);
  const noisy = points.find((point) => point.noisy != null)?.noisy;
  const y = linearScale([...points.flatMap(({ mean, ci95 = 0 }) => [mean - ci95, mean + ci95]), noisy ?? points[0].mean]);
  const { title, digits } = MEASURES[measure];
  const root = svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": describe(points, title, digits) });
  for (const value of y.ticks) {
    root.append(svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }));
    root.append(text(LEFT - 10, y(value) + 4, figure(value, y.digits), "tick end"));
  }
  let free = -Infinity;
  for (const value of x.ticks) {
    if (x(value) < free) continue;
    root.append(text(x(value), HEIGHT - BOTTOM + 22, bytes(value), "tick middle"));
    free = x(value) + 72;
  }
  root.append(text(width - RIGHT, HEIGHT - 4, "bytes on disk, logarithmic", "tick end"), text(0, 12, title, "tick"));
  if (noisy != null) {
    root.append(svg("line", { class: "noisy", x1: LEFT, x2: width - RIGHT, y1: y(noisy), y2: y(noisy) }));
    root.append(text(LEFT + 6, y(noisy) - 7, `unprocessed ${figure(noisy, digits)}`, "tick"));
  }
  const taken = [];
  for (const point of points) root.append(mark(point, x(point.model_bytes), y, playing, taken, width));
  container.replaceChildren(root);
  return true;
}

function mark(point, x, y, playing, taken, width) {
  const name = `${point.model}/${point.variant}`;
  const on = name === playing;
  const at = y(point.mean);
  const group = svg("g", { class: on ? "mark playing" : "mark", "data-name": name });
  if (point.ci95) {
    group.append(svg("line", { class: "interval", x1: x, x2: x, y1: y(point.mean - point.ci95), y2: y(point.mean + point.ci95) }));
  }
  if (on) group.append(svg("circle", { class: "ring", cx: x, cy: at, r: 13 }));
  if (point.model === "crn") group.append(svg("circle", { class: "dot-mark", cx: x, cy: at, r: 6.5 }));
  else group.append(svg("rect", { class: "dot-mark", x: x - 6, y: at - 6, width: 12, height: 12 }));
  const label = `${point.model} ${point.variant}${on ? ", playing" : ""}`;
  const long = label.length * LETTER;
  const left = x + 16 + long > width - 4; // to the left of the mark where the right has no room
  let line = at + 4;
  const from = left ? x - 16 - long : x + 16;
  while (taken.some((other) => Math.abs(other.line - line) < LABEL_HEIGHT && from < other.to && from + long > other.from)) line -= LABEL_HEIGHT;
  taken.push({ line, from, to: from + long });
  group.append(text(left ? x - 16 : x + 16, line, label, left ? "name end" : "name"));
  return group;
}

function logScale(values, from, to) {
  const low = Math.log10(Math.min(...values)) - 0.08;
  const high = Math.log10(Math.max(...values)) + 0.08;
  const scale = (value) => from + ((Math.log10(value) - low) / (high - low)) * (to - from);
  const decades = Array.from({ length: 12 }, (_, power) => [1, 1.5, 2, 3, 5, 7].map((factor) => factor * 10 ** power)).flat();
  scale.ticks = decades.filter((value) => value >= 10 ** low && value <= 10 ** high);
  return scale;
}

function linearScale(values) {
  const margin = (Math.max(...values) - Math.min(...values)) * 0.1 || 0.1;
  const low = Math.min(...values) - margin;
  const high = Math.max(...values) + margin;
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
  const scale = (value) => HEIGHT - BOTTOM - ((value - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  scale.digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  scale.ticks = [];
  for (let value = Math.ceil(low / step) * step; value <= high; value += step) scale.ticks.push(value);
  return scale;
}

function describe(points, title, digits) {
  const parts = points.map(({ model, variant, model_bytes: size, mean }) => `${model} ${variant} ${bytes(size)}, ${figure(mean, digits)}`);
  return `${title} by size: ${parts.join("; ")}`;
}

function svg(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function text(x, y, content, className) {
  const made = svg("text", { x, y, class: className });
  made.textContent = content;
  return made;
}
