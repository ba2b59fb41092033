// Magnitude spectra of real frames: a radix-2 FFT with everything that does not change computed once.

export class Spectrum {
  #cos;
  #sin;
  #reversed;
  #window;
  #real;
  #imag;

  /** @param {number} size A power of two. */
  constructor(size) {
    this.size = size;
    const angles = Float64Array.from({ length: size / 2 }, (_, i) => (2 * Math.PI * i) / size);
    this.#cos = angles.map(Math.cos);
    this.#sin = angles.map(Math.sin);
    this.#window = Float64Array.from({ length: size }, (_, i) => (2 / size) * (1 - Math.cos((2 * Math.PI * i) / size)));
    this.#real = new Float64Array(size);
    this.#imag = new Float64Array(size);
    const bits = Math.log2(size);
    this.#reversed = Uint32Array.from({ length: size }, (_, i) => {
      let reversed = 0;
      for (let bit = 0; bit < bits; bit++) reversed |= ((i >> bit) & 1) << (bits - 1 - bit);
      return reversed;
    });
  }

  /** Levels in dB of `size / 2` bins, a full-scale sine being 0. `at(i)` gives sample i of the frame. */
  levels(at, out) {
    const { size } = this;
    const real = this.#real;
    const imag = this.#imag;
    for (let i = 0; i < size; i++) real[this.#reversed[i]] = at(i) * this.#window[i];
    imag.fill(0);
    for (let half = 1; half < size; half *= 2) {
      const stride = size / (2 * half);
      for (let start = 0; start < size; start += 2 * half) {
        for (let k = 0; k < half; k++) {
          const c = this.#cos[k * stride];
          const s = -this.#sin[k * stride];
          const a = start + k;
          const b = a + half;
          const re = real[b] * c - imag[b] * s;
          const im = real[b] * s + imag[b] * c;
          real[b] = real[a] - re;
          imag[b] = imag[a] - im;
          real[a] += re;
          imag[a] += im;
        }
      }
    }
    for (let i = 0; i < size / 2; i++) out[i] = 10 * Math.log10(real[i] * real[i] + imag[i] * imag[i] + 1e-12);
    return out;
  }
}

/** The power of two whose frame is nearest to 32 ms. */
export function frameSize(rate) {
  return 2 ** Math.round(Math.log2(rate * 0.032));
}

/** Rows of a spectrogram picture, top row first: linear from 0 to 8 kHz, where the networks work. */
export class Rows {
  static TOP_HZ = 8000;
  #edges;

  constructor(rate, size, rows) {
    const bin = (hz) => Math.min(size / 2 - 1, (hz * size) / rate);
    this.#edges = Float64Array.from({ length: rows + 1 }, (_, i) => bin(Rows.TOP_HZ * (1 - i / rows)));
  }

  /** Shade (0 to 255) of a row, given the levels of a frame. */
  shade(levels, row) {
    const top = this.#edges[row];
    const low = this.#edges[row + 1];
    let level;
    if (top - low <= 1) {
      const middle = (top + low) / 2;
      const whole = Math.floor(middle);
      const next = levels[Math.min(whole + 1, levels.length - 1)];
      level = levels[whole] + (middle - whole) * (next - levels[whole]);
    } else {
      level = -Infinity;
      for (let bin = Math.floor(low); bin <= top; bin++) level = Math.max(level, levels[bin]);
    }
    return Math.max(0, Math.min(255, Math.round(((level - FLOOR_DB) / (CEILING_DB - FLOOR_DB)) * 255)));
  }
}

const FLOOR_DB = -92;
const CEILING_DB = -28;
