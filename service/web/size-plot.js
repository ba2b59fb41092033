// Size against quality as SVG: one mark per variant, a shape per model, the noisy input as a line, the playing one ringed.

import { bytes, figure } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 340;
const LEFT = 50;
const RIGHT = 24;
const TOP = 24;
const BOTTOM = 46;
const LETTER = 6.9; // about the width of one in a label
const ABOVE = 13; // what a label takes over its line of writing, and below it
const BELOW = 4;

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
  drawLegend(root, points, width);
  const taken = points.flatMap((point) => occupied(point, x(point.model_bytes), y));
  if (noisy != null) drawNoisy(root, y(noisy), `unprocessed ${figure(noisy, digits)}`, taken, width);
  // The playing one first, so that it has its name whatever else has to go without.
  for (const point of [...points].sort((a, b) => (nameOf(b) === playing) - (nameOf(a) === playing))) {
    const group = mark(point, x(point.model_bytes), y, playing, taken, width);
    group.append(svg("title", {})); // what the pointer is told
    group.lastChild.textContent = `${point.model} ${point.variant}: ${bytes(point.model_bytes)}, ${title} ${figure(point.mean, digits)}`;
    root.append(group);
  }
  container.replaceChildren(root);
  return true;
}

function nameOf({ model, variant }) {
  return `${model}/${variant}`;
}

function shape(model, x, y) {
  if (model === "crn") return svg("circle", { class: "dot-mark", cx: x, cy: y, r: 6.5 });
  return svg("rect", { class: "dot-mark", x: x - 6, y: y - 6, width: 12, height: 12 });
}

// A line across, named where no mark is; below the plot where there is no such place, as on a phone.
function drawNoisy(root, at, label, taken, width) {
  root.append(svg("line", { class: "noisy", x1: LEFT, x2: width - RIGHT, y1: at, y2: at }));
  const long = label.length * LETTER;
  const places = [];
  for (let left = LEFT + 6; left + long < width - RIGHT; left += 12) places.push([left, at - 7], [left, at + 16]);
  const own = ([left, line]) => nameBox(left, line, long, "start");
  const place = places.find((one) => !taken.some((other) => overlap(own(one), other)));
  if (!place) return root.append(text(0, HEIGHT - 4, `– – ${label}`, "tick"));
  taken.push(own(place));
  root.append(text(...place, label, "tick name"));
}

function drawLegend(root, points, width) {
  let right = width - RIGHT;
  for (const model of [...new Set(points.map((point) => point.model))].reverse()) {
    root.append(text(right, 13, model, "tick end"), shape(model, right - model.length * LETTER - 12, 8.5));
    right -= model.length * LETTER + 40;
  }
}

function mark(point, x, y, playing, taken, width) {
  const on = nameOf(point) === playing;
  const at = y(point.mean);
  const group = svg("g", { class: on ? "mark playing" : "mark", "data-name": nameOf(point) });
  if (point.ci95) {
    group.append(svg("line", { class: "interval", x1: x, x2: x, y1: y(point.mean - point.ci95), y2: y(point.mean + point.ci95) }));
  }
  if (on) group.append(svg("circle", { class: "ring", cx: x, cy: at, r: 13 }));
  group.append(shape(point.model, x, at));
  const label = `${point.variant}${on ? ", playing" : ""}`;
  const long = label.length * LETTER;
  const gap = on ? 20 : 14;
  const places = [
    [x + gap, at + 4, "start"],
    [x - gap, at + 4, "end"],
    [x, at - gap - 4, "middle"],
    [x, at + gap + 12, "middle"],
  ];
  for (const [left, line, anchor] of places) {
    const own = nameBox(left, line, long, anchor);
    const outside = own.left < LEFT - 8 || own.right > width || own.top < TOP - 6;
    if (outside || taken.some((other) => other.owner !== nameOf(point) && overlap(own, other))) continue;
    taken.push(own);
    group.append(text(left, line, label, `name ${anchor}`));
    break; // where there is no room at all, the pointer and the table below have the name
  }
  return group;
}

// Where no other variant's name may stand: on the mark and on the line of its interval.
function occupied(point, x, y) {
  const { mean, ci95 = 0 } = point;
  const interval = { left: x - 2, right: x + 2, top: y(mean + ci95), bottom: y(mean - ci95) };
  return [{ left: x - 9, right: x + 9, top: y(mean) - 9, bottom: y(mean) + 9 }, interval].map((one) => ({ ...one, owner: nameOf(point) }));
}

function nameBox(x, line, long, anchor) {
  const left = x - { start: 0, middle: long / 2, end: long }[anchor];
  return { left: left - 2, right: left + long + 2, top: line - ABOVE, bottom: line + BELOW };
}

function overlap(a, b) {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
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
