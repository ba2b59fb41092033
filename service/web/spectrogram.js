// Scrolling spectrograms. Columns are numbered by the position of their samples in the stream, so that input and output
// drawn up to the same column are aligned in time, however long the output took.

import { SHADES } from "./colours.js";
import { Rows, Spectrum, frameSize } from "./fft.js";

const COLUMNS_PER_SECOND = 100;
const SECONDS = 6;
const COLUMNS = COLUMNS_PER_SECOND * SECONDS;
const ROWS = 128;
const STILL_SECONDS = 2; // with reduced motion the picture moves on in steps of this

/** The picture of one signal. */
export class Spectrogram {
  #history = document.createElement("canvas");
  #pixels;
  #levels;
  #recent;

  constructor(canvas, rate) {
    this.canvas = canvas;
    this.hop = rate / COLUMNS_PER_SECOND;
    this.spectrum = new Spectrum(frameSize(rate));
    this.rows = new Rows(rate, this.spectrum.size, ROWS);
    this.column = 0; // the next to be drawn
    this.position = 0;
    canvas.width = this.#history.width = COLUMNS;
    canvas.height = this.#history.height = ROWS;
    this.context = canvas.getContext("2d", { alpha: false });
    this.store = this.#history.getContext("2d", { alpha: false, willReadFrequently: true });
    this.store.fillStyle = this.context.fillStyle = "rgb(10 15 18)";
    this.store.fillRect(0, 0, COLUMNS, ROWS);
    this.#pixels = this.store.createImageData(1, ROWS);
    this.#levels = new Float32Array(this.spectrum.size / 2);
    this.#recent = new Float32Array(this.spectrum.size);
  }

  /** Add samples; those missing before them were dropped, and stay dark. */
  push(samples, position) {
    if (position > this.position) this.#skip(position);
    const { size } = this.spectrum;
    for (const sample of samples) {
      this.#recent[this.position++ & (size - 1)] = sample;
      if (this.position >= (this.column + 1) * this.hop) this.#draw();
    }
  }

  #skip(position) {
    const missing = Math.min(COLUMNS, Math.floor(position / this.hop) - this.column);
    for (let i = 0; i < missing; i++) this.store.fillRect((this.column + i) % COLUMNS, 0, 1, ROWS);
    this.column = Math.floor(position / this.hop);
    this.position = position;
    this.#recent.fill(0);
  }

  #draw() {
    const mask = this.spectrum.size - 1;
    const levels = this.spectrum.levels((i) => this.#recent[(this.position + i) & mask], this.#levels);
    const words = new Uint32Array(this.#pixels.data.buffer);
    for (let row = 0; row < ROWS; row++) words[row] = SHADES[this.rows.shade(levels, row)];
    this.store.putImageData(this.#pixels, this.column++ % COLUMNS, 0);
  }

  /** Show the columns before `end` at the right edge; those not there yet are dark. */
  show(end) {
    const { context } = this;
    context.fillRect(0, 0, COLUMNS, ROWS);
    const first = Math.max(0, end - COLUMNS, this.column - COLUMNS);
    const last = Math.min(end, this.column);
    for (let from = first; from < last; ) {
      const at = from % COLUMNS;
      const count = Math.min(last - from, COLUMNS - at);
      context.drawImage(this.#history, at, 0, count, ROWS, COLUMNS - (end - from), 0, count, ROWS);
      from += count;
    }
  }
}

/** Input above, output below, drawn together once a frame. */
export class SpectrogramPair {
  #running = true;

  constructor(inputCanvas, outputCanvas, rate) {
    this.input = new Spectrogram(inputCanvas, rate);
    this.output = new Spectrogram(outputCanvas, rate);
    const still = matchMedia("(prefers-reduced-motion: reduce)");
    let shown = 0;
    const frame = () => {
      if (!this.#running) return;
      requestAnimationFrame(frame);
      const step = still.matches ? STILL_SECONDS * COLUMNS_PER_SECOND : 1;
      const end = Math.floor(this.input.column / step) * step;
      // The output's last columns come a little after the input's, so the steps of a still picture wait for them.
      const ready = still.matches ? this.output.column >= end || this.input.column - end > COLUMNS_PER_SECOND / 2 : true;
      if (end === shown && still.matches) return;
      if (!ready) return;
      shown = end;
      this.input.show(end);
      this.output.show(end);
    };
    requestAnimationFrame(frame);
  }

  stop() {
    this.#running = false;
  }
}
