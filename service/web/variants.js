// The section on cost: the size/quality plot and the same figures as a table, the playing variant marked in both.

import { $, element, say, segments } from "./dom.js";
import { bytes, figure, percent } from "./format.js";
import { MEASURES, drawSizePlot } from "./size-plot.js";

export class Variants {
  #rows = [];
  #measure = "pesq";
  #playing = "";

  constructor() {
    let width = 0;
    new ResizeObserver(([entry]) => {
      if (Math.abs(entry.contentRect.width - width) < 1) return; // drawing changes only the height
      width = entry.contentRect.width;
      this.#plot();
    }).observe($("size-plot"));
  }

  load(rows) {
    this.#rows = rows;
    const known = Object.keys(MEASURES).filter((name) => rows.some((row) => row.evaluation?.scores?.[name]));
    if (!known.includes(this.#measure)) this.#measure = known[0] ?? "pesq";
    $("measures").closest("fieldset").hidden = known.length === 0;
    const options = known.map((name) => [name, MEASURES[name].title.split(",")[0]]);
    segments($("measures"), "measure", options, this.#measure, (name) => {
      this.#measure = name;
      this.#plot();
    });
    this.#table();
    this.#plot();
  }

  /** Mark a variant, or none. */
  mark(facts) {
    this.#playing = facts ? `${facts.model}/${facts.variant}` : "";
    this.#plot();
    for (const row of $("variants-table").querySelectorAll("tbody tr")) {
      row.classList.toggle("playing", row.dataset.name === this.#playing);
    }
  }

  #plot() {
    const drawn = drawSizePlot($("size-plot"), this.#rows, this.#measure, this.#playing);
    const set = this.#rows.find((row) => row.evaluation)?.evaluation.set_name;
    say($("variants-set"), drawn ? `Means with 95 % intervals, measured on ${set}.` : "The loaded variants come without evaluation figures.");
  }

  #table() {
    const heads = ["Model", "Variant", "Size", "Of original", "Parameters", "MMAC/s", "Latency", ...Object.values(MEASURES).map(({ title }) => title)];
    const cells = (row) => [
      row.model,
      row.variant,
      bytes(row.model_bytes),
      percent(row.size_ratio),
      row.parameters.toLocaleString("en"),
      Math.round(row.macs_per_second / 1e6).toLocaleString("en"),
      `${row.algorithmic_latency_ms} ms`,
      ...Object.entries(MEASURES).map(([name, { digits }]) => figure(row.evaluation?.scores?.[name]?.mean, digits)),
    ];
    const head = element("thead", {}, element("tr", {}, ...heads.map((title) => element("th", { textContent: title, scope: "col" }))));
    const lines = this.#rows.map((row) =>
      element("tr", { dataset: { name: `${row.model}/${row.variant}` } }, ...cells(row).map((value) => element("td", { textContent: value }))),
    );
    $("variants-table").replaceChildren(
      element("caption", { textContent: "Loaded variants", className: "hidden" }),
      head,
      element("tbody", {}, ...lines),
    );
  }
}
