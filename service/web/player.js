// Plays several versions of one recording in step, one of them audible: a switch is a short cross-fade, not a new start.

const FADE_SECONDS = 0.008;

export class SyncPlayer extends EventTarget {
  #tracks = new Map(); // name → { buffer, gain, node }
  #startedAt = 0; // the context's time of position 0
  #offset = 0;
  #session = 0;
  #asked = 0; // counts what was asked for, as the device may take a while to wake up
  playing = false;
  chosen = "";

  constructor() {
    super();
    this.context = new AudioContext();
  }

  get duration() {
    return Math.max(0, ...[...this.#tracks.values()].map(({ buffer }) => buffer.duration));
  }

  get position() {
    const now = this.playing ? this.context.currentTime - this.#startedAt : this.#offset;
    return Math.max(0, Math.min(this.duration, now));
  }

  clear() {
    this.pause();
    for (const { gain } of this.#tracks.values()) gain.disconnect();
    this.#tracks.clear();
    this.#offset = 0;
    this.chosen = "";
  }

  /** Add a version; while the others play it joins them. */
  add(name, buffer) {
    const gain = new GainNode(this.context, { gain: name === this.chosen ? 1 : 0 });
    gain.connect(this.context.destination);
    const track = { buffer, gain, node: null };
    this.#tracks.set(name, track);
    if (this.playing) this.#startTrack(track, this.context.currentTime + 0.02);
  }

  choose(name) {
    this.chosen = name;
    for (const [other, { gain }] of this.#tracks) {
      gain.gain.setTargetAtTime(other === name ? 1 : 0, this.context.currentTime, FADE_SECONDS);
    }
    this.dispatchEvent(new Event("change"));
  }

  async play() {
    if (this.playing) return;
    const asked = ++this.#asked;
    await this.context.resume();
    if (asked !== this.#asked) return;
    if (this.#offset >= this.duration - 0.01) this.#offset = 0;
    const at = this.context.currentTime + 0.03; // a moment ahead, so that all start on the same sample
    this.#startedAt = at - this.#offset;
    this.playing = true;
    this.#session += 1;
    for (const track of this.#tracks.values()) this.#startTrack(track, at);
    this.dispatchEvent(new Event("change"));
  }

  #startTrack(track, at) {
    const session = this.#session;
    track.node = new AudioBufferSourceNode(this.context, { buffer: track.buffer });
    track.node.connect(track.gain);
    track.node.onended = () => {
      if (session === this.#session && this.playing && this.position >= this.duration - 0.02) this.pause(0);
    };
    const offset = at - this.#startedAt;
    if (offset < track.buffer.duration) track.node.start(at, offset);
  }

  pause(offset = this.position) {
    this.#asked += 1;
    this.#offset = offset;
    if (!this.playing) return;
    this.playing = false;
    this.#session += 1;
    for (const track of this.#tracks.values()) {
      track.node?.disconnect();
      track.node = null;
    }
    this.dispatchEvent(new Event("change"));
  }

  async seek(seconds) {
    const { playing } = this;
    this.pause(Math.max(0, Math.min(this.duration, seconds)));
    if (playing) await this.play();
    else this.dispatchEvent(new Event("change"));
  }
}
