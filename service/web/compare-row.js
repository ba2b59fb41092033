// One version of the recording in the comparison: a radio button to hear it, two pictures, figures, a download.

import { colour } from "./colours.js";
import { element } from "./dom.js";
import { bytes, figure, milliseconds, percent } from "./format.js";
import { drawSpectrogram, drawWaveform } from "./pictures.js";

const MEASURES = [
  ["pesq", "PESQ", 2],
  ["stoi", "STOI", 3],
  ["si_sdr", "SI-SDR, dB", 1],
];

export class CompareRow {
  /** @param {string} name The key of its audio. @param {object} facts The row of `GET /variants`; null for the input. */
  constructor(name, title, facts, onChoose, onSeek) {
    this.name = name;
    this.facts = facts;
    this.radio = element("input", { type: "radio", name: "heard", value: name, disabled: true });
    this.radio.addEventListener("change", onChoose);
    this.wave = element("canvas", { className: "wave", attributes: { "aria-hidden": "true" } });
    this.spectrogram = element("canvas", { attributes: { role: "img", "aria-label": `Spectrogram: ${title}` } });
    this.line = element("span", { className: "playhead" });
    this.picture = element("div", { className: "picture" }, this.wave, this.spectrogram, this.line);
    this.picture.addEventListener("click", (event) => {
      const box = this.picture.getBoundingClientRect();
      onSeek((event.clientX - box.left) / box.width);
    });
    this.list = element("dl", { className: "measures-list" });
    this.link = element("a", { className: "download", textContent: "Download", hidden: true, attributes: { "aria-label": `Download ${title}` } });
    const label = element("label", { className: "row-name" }, this.radio, element("span", { textContent: title }));
    this.element = element("li", { dataset: { name } }, element("div", { className: "row-head" }, label, this.link), this.picture, this.list);
  }

  /** Show its audio; `peak` is the input's, so that all waveforms have one scale. */
  show(buffer, blob, fileName, peak, figures = null) {
    const stage = colour("--stage-accent");
    drawWaveform(this.wave, buffer, peak, stage);
    drawSpectrogram(this.spectrogram, buffer);
    this.radio.disabled = false;
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = URL.createObjectURL(blob);
    Object.assign(this.link, { href: this.url, download: fileName, hidden: false });
    this.measure(figures ?? {}, null);
  }

  /** Show what it costs and, with a reference, how good it is against the unprocessed input. */
  measure(figures, unprocessed) {
    const entries = [];
    if (this.facts) {
      const { model_bytes: size, size_ratio: ratio } = this.facts;
      entries.push(["Size", bytes(size), ratio < 1 ? percent(ratio) : ""]);
      entries.push(["Time taken", milliseconds(figures.latency_ms), ""]);
      entries.push(["Real-time factor", figure(figures.real_time_factor, 3), ""]);
    }
    for (const [key, title, digits] of MEASURES) {
      if (figures[key] == null) continue;
      const gain = unprocessed?.[key] == null ? null : figures[key] - unprocessed[key];
      entries.push([title, figure(figures[key], digits), gain === null ? "" : `${gain >= 0 ? "+" : ""}${figure(gain, digits)}`]);
    }
    this.list.replaceChildren(
      ...entries.map(([title, value, detail]) =>
        element("div", {}, element("dt", { textContent: title }), element("dd", { textContent: value }, ...(detail ? [element("small", { textContent: detail })] : []))),
      ),
    );
  }

  moveTo(share) {
    this.line.style.setProperty("--at", share.toFixed(4));
  }

  remove() {
    if (this.url) URL.revokeObjectURL(this.url);
    this.element.remove();
  }
}
