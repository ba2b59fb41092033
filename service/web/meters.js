// Level meters, and the level in the pauses: the figure that says most about a denoiser in one number.

export const FLOOR_DB = -80;
const BLOCK_SECONDS = 0.05;
const PEAK_HOLD_MS = 1200;
const PAUSE_WINDOW_BLOCKS = 120; // 6 s
const PAUSE_QUANTILE = 0.1;

/** One bar; `element` is a `role="meter"` with a child bar and a child peak mark. */
export class Meter {
  #sum = 0;
  #count = 0;
  #blocks = [];
  #peak = FLOOR_DB;
  #peakUntil = 0;

  constructor(element, rate) {
    this.element = element;
    this.block = Math.round(rate * BLOCK_SECONDS);
    this.level = FLOOR_DB;
    this.show();
  }

  push(samples) {
    for (const sample of samples) {
      this.#sum += sample * sample;
      if (++this.#count < this.block) continue;
      this.level = Math.max(FLOOR_DB, 10 * Math.log10(this.#sum / this.#count + 1e-12));
      this.#sum = this.#count = 0;
      this.#blocks.push(this.level);
      if (this.#blocks.length > PAUSE_WINDOW_BLOCKS) this.#blocks.shift();
    }
  }

  /** The level (dBFS) that is undercut a tenth of the time, or null before there is enough to tell. */
  get pauseLevel() {
    if (this.#blocks.length < PAUSE_WINDOW_BLOCKS / 4) return null;
    const sorted = [...this.#blocks].sort((a, b) => a - b);
    return sorted[Math.floor(sorted.length * PAUSE_QUANTILE)];
  }

  /** Back to silence, when nothing runs any more. */
  clear() {
    this.level = this.#peak = FLOOR_DB;
    this.show();
  }

  show() {
    const now = performance.now();
    if (this.level >= this.#peak || now > this.#peakUntil) {
      this.#peak = this.level;
      this.#peakUntil = now + PEAK_HOLD_MS;
    }
    const share = (level) => 1 - level / FLOOR_DB;
    const [bar, mark] = this.element.children;
    bar.style.setProperty("--level", share(this.level).toFixed(3));
    mark.style.setProperty("--level", share(this.#peak).toFixed(3));
    this.element.setAttribute("aria-valuenow", Math.round(this.level));
    this.element.setAttribute("aria-valuetext", `${Math.round(this.level)} decibels`);
  }
}
