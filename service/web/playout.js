// The adaptive play-out buffer: network jitter and clock drift in, an unbroken signal out.
//
// It watches how low the buffer falls. What never gets used is delay for nothing, so play-out runs up to 0.5 % faster
// (inaudible in speech) until only a margin is left; when the low point sinks below the margin, it runs slower. The same
// rule absorbs a difference between the sender's clock and this one. Each time the buffer runs dry the margin grows.

const CAPACITY = 1 << 18; // 5.4 s at 48 kHz
const FADE_SECONDS = 0.003;
const MARGIN_SECONDS = 0.01;
const MAX_MARGIN_SECONDS = 0.25;
const MARGIN_GROWTH_SECONDS = 0.015;
const MARGIN_DECAY = 0.0005; // seconds per second
const START_SECONDS = 0.03; // over the margin, before the first sample is played
const WINDOW_SECONDS = 0.5;
const WINDOWS = 6;
const TOLERANCE_SECONDS = 0.002;
const CORRECTION_SECONDS = 4; // an error is worked off in about this time
const MAX_CORRECTION = 0.005;
const JUMP_SECONDS = 0.15; // this much too much is skipped at once, with a cross-fade

export class PlayoutBuffer {
  #ring = new Float32Array(CAPACITY);
  #written = 4; // a little silence before the first sample, for the interpolation
  #read = 4;
  #gain = 0;
  #ghost = 0; // where play-out would be without the last jump
  #ghostLeft = 0;
  #lows = [];
  #low = Infinity;
  #windowLeft;

  constructor(rate) {
    this.rate = rate;
    this.fade = Math.ceil(FADE_SECONDS * rate);
    this.margin = MARGIN_SECONDS;
    this.step = 1; // input samples per output sample
    this.late = 0; // times that the buffer ran dry
    this.playing = false;
    this.#windowLeft = WINDOW_SECONDS * rate;
  }

  /** Seconds of audio waiting. */
  get buffered() {
    return (this.#written - this.#read) / this.rate;
  }

  push(samples) {
    const room = CAPACITY - 8 - (this.#written - this.#read);
    if (samples.length > room) this.#read += samples.length - room; // only after a stall of seconds
    for (let i = 0; i < samples.length; i++) this.#ring[this.#written++ & (CAPACITY - 1)] = samples[i];
  }

  /** Fill `out` with what is to be heard now. */
  pull(out) {
    if (!this.playing && this.buffered < this.margin + START_SECONDS) {
      out.fill(0);
      return;
    }
    if (!this.playing) this.#restart();
    for (let i = 0; i < out.length; i++) out[i] = this.playing ? this.#next() : 0;
    this.#watch(out.length);
  }

  #restart() {
    this.playing = true;
    this.step = 1;
    this.#gain = 0;
    this.#ghostLeft = 0;
    this.#lows = [];
    this.#low = Infinity;
    this.#windowLeft = WINDOW_SECONDS * this.rate;
  }

  #next() {
    const left = this.#written - this.#read;
    if (left < 3) {
      this.playing = false;
      this.late += 1;
      this.margin = Math.min(MAX_MARGIN_SECONDS, this.margin + MARGIN_GROWTH_SECONDS);
      return 0;
    }
    // Towards silence while the buffer is about to run dry, and back: never a step in the signal.
    const slope = left > this.fade + 4 ? 1 / this.fade : -1 / this.fade;
    this.#gain = Math.max(0, Math.min(1, this.#gain + slope));
    let value = this.#sample(this.#read);
    this.#read += this.step;
    if (this.#ghostLeft > 0) {
      const weight = this.#ghostLeft-- / (4 * this.fade);
      value += weight * (this.#sample(this.#ghost) - value);
      this.#ghost += this.step;
    }
    return this.#gain * value;
  }

  // Catmull-Rom through four neighbours; exact where the position is whole.
  #sample(position) {
    const whole = Math.floor(position);
    const t = position - whole;
    const mask = CAPACITY - 1;
    const b = this.#ring[whole & mask];
    if (t === 0) return b;
    const a = this.#ring[(whole - 1) & mask];
    const c = this.#ring[(whole + 1) & mask];
    const d = this.#ring[(whole + 2) & mask];
    return b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)));
  }

  #watch(count) {
    this.#low = Math.min(this.#low, this.buffered);
    this.margin = Math.max(MARGIN_SECONDS, this.margin - (MARGIN_DECAY * count) / this.rate);
    this.#windowLeft -= count;
    if (this.#windowLeft > 0 || !this.playing) return;
    this.#windowLeft = WINDOW_SECONDS * this.rate;
    this.#lows.push(this.#low);
    if (this.#lows.length > WINDOWS) this.#lows.shift();
    this.#low = Infinity;
    const excess = Math.min(...this.#lows) - this.margin;
    if (excess > JUMP_SECONDS) return this.#jump(excess);
    const correction = Math.max(-MAX_CORRECTION, Math.min(MAX_CORRECTION, excess / CORRECTION_SECONDS));
    this.step = Math.abs(excess) < TOLERANCE_SECONDS ? 1 : 1 + correction;
  }

  #jump(seconds) {
    this.#ghost = this.#read;
    this.#ghostLeft = 4 * this.fade;
    this.#read += Math.round(seconds * this.rate);
    this.#lows = [];
    this.step = 1;
  }
}
