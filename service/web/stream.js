// One live stream over /ws/enhance: samples in, enhanced samples out, with their positions; reconnects by itself.
// Knows nothing of Web Audio, so it also serves pages that have their samples from elsewhere.

const RETRY_MS = [500, 1000, 2000, 4000, 8000];
const HEALTHY_MS = 5000; // a connection that lasted this long makes the next retry a quick one again
const MAX_UNSENT_SECONDS = 1; // beyond this the network is too slow: chunks are dropped, not queued
const END_MS = 3000;
// Codes after which trying again cannot help: somebody has to change something first.
const FINAL = new Set(["bad_request", "unauthorized", "forbidden_origin", "unknown_model", "too_large"]);

/** The address of the server that this module was loaded from. */
export function defaultServer() {
  return new URL("..", import.meta.url).href;
}

export class EnhancementStream extends EventTarget {
  #options;
  #socket = null;
  #sent = []; // messages whose output has not all come back: { start, length, done, time }
  #position = 0;
  #attempt = 0;
  #everLive = false;
  #liveSince = 0; // of this connection; 0 before its `ready`
  #unsent = {}; // changes since the connection was asked for
  #timer = 0;
  #wanted = false;
  #failure = null;
  #summary = null;

  /**
   * @param {object} options
   * @param {number} options.sampleRate 8000 to 48000, whole.
   * @param {string} [options.server] Base address; the server of this module when left out.
   * @param {string} [options.model] @param {string} [options.variant] @param {string} [options.token]
   * @param {number} [options.attenuationLimitDb] 0 to 100.
   */
  constructor(options) {
    super();
    this.#options = { attenuationLimitDb: 100, server: defaultServer(), ...options };
    this.state = "idle";
    this.dropped = 0;
    this.ready = null; // what is in force: the server's `ready` or its last `configured`
  }

  open() {
    this.#wanted = true;
    this.#connect("connecting");
  }

  /** Samples (Float32Array, mono, ±1). False when there is no connection to take them. */
  send(samples) {
    const start = this.#position;
    this.#position += samples.length;
    const backlog = this.#socket?.bufferedAmount ?? 0;
    if (!this.#open || backlog > MAX_UNSENT_SECONDS * this.#options.sampleRate * 2) {
      if (this.#everLive) this.dropped += 1; // before the first connection there was nothing to lose
      return false;
    }
    this.#sent.push({ start, length: samples.length, done: 0, time: performance.now() });
    this.#socket.send(encode(samples));
    return true;
  }

  /** Change model, variant or attenuationLimitDb from the next sample on; a reconnection keeps the choice. */
  configure(changes) {
    Object.assign(this.#options, changes);
    if (this.#open) this.#sendChanges(changes);
    else Object.assign(this.#unsent, changes);
  }

  // A socket that is being closed takes nothing more, a while before `onclose` says so.
  get #open() {
    return this.state === "live" && this.#socket.readyState === WebSocket.OPEN;
  }

  #sendChanges(changes) {
    this.#socket.send(JSON.stringify({ type: "configure", ...wireNames(changes) }));
  }

  /** End the stream; gives the server's summary, or null when there was no connection. */
  end() {
    this.#wanted = false;
    clearTimeout(this.#timer);
    const socket = this.#socket;
    if (socket?.readyState !== WebSocket.OPEN) {
      this.close();
      return Promise.resolve(null);
    }
    return new Promise((resolve) => {
      const giveUp = setTimeout(() => {
        this.close(); // a browser tells of it after a minute where the other side is gone
        resolve(this.#summary);
      }, END_MS);
      socket.addEventListener("close", () => {
        clearTimeout(giveUp);
        resolve(this.#summary);
      });
      socket.send(JSON.stringify({ type: "end" }));
    });
  }

  /** Leave at once, without waiting for the rest of the output. */
  close() {
    this.#wanted = false;
    clearTimeout(this.#timer);
    this.#socket?.close();
    this.#setState("closed");
  }

  #connect(state) {
    this.#setState(state);
    this.#sent = [];
    this.#failure = null;
    this.#liveSince = 0;
    this.#unsent = {};
    const { sampleRate, model, variant, attenuationLimitDb, token, server } = this.#options;
    const url = new URL("ws/enhance", server);
    url.protocol = url.protocol.replace("http", "ws");
    const query = { sample_rate: sampleRate, model, variant, attenuation_limit_db: attenuationLimitDb, token };
    for (const [name, value] of Object.entries(query)) if (value != null && value !== "") url.searchParams.set(name, value);
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => (typeof data === "string" ? this.#onText(JSON.parse(data)) : this.#onAudio(data));
    socket.onclose = () => this.#onClose(socket);
    this.#socket = socket;
  }

  #onText(message) {
    if (message.type === "ready") {
      this.#everLive = true;
      this.#liveSince = performance.now();
      this.ready = message;
      this.#setState("live");
      if (Object.keys(this.#unsent).length > 0) this.#sendChanges(this.#unsent);
    } else if (message.type === "configured") {
      this.ready = message;
    } else if (message.type === "error") {
      this.#failure = message;
    } else if (message.type === "summary") {
      this.#summary = message;
    }
    this.#emit(message.type, message);
  }

  // Output comes in the order of the input, but neither in its portions nor without gaps where chunks were dropped.
  #onAudio(data) {
    const samples = decode(data);
    const now = performance.now();
    for (let from = 0; from < samples.length && this.#sent.length > 0; ) {
      const head = this.#sent[0];
      const take = Math.min(samples.length - from, head.length - head.done);
      this.#emit("audio", { samples: samples.slice(from, from + take), position: head.start + head.done });
      head.done += take;
      from += take;
      if (head.done === head.length) {
        this.#sent.shift();
        this.#emit("roundtrip", { ms: now - head.time });
      }
    }
  }

  #onClose(socket) {
    if (socket !== this.#socket || this.state === "closed") return;
    this.#sent = [];
    if (!this.#wanted) return this.#setState("closed");
    if (this.#failure && FINAL.has(this.#failure.code)) {
      this.#wanted = false;
      return this.#setState("failed", this.#failure);
    }
    if (this.#liveSince && performance.now() - this.#liveSince > HEALTHY_MS) this.#attempt = 0;
    const nominal = RETRY_MS[Math.min(this.#attempt++, RETRY_MS.length - 1)];
    const wait = nominal * (0.8 + 0.4 * Math.random()); // or all pages would come back to a restarted server at once
    this.#setState("reconnecting", { ...this.#failure, retryMs: wait });
    this.#timer = setTimeout(() => this.#connect("reconnecting"), wait);
  }

  #setState(state, detail = {}) {
    this.state = state;
    this.#emit("state", { state, ...detail });
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

function wireNames({ model, variant, attenuationLimitDb }) {
  return { model, variant, attenuation_limit_db: attenuationLimitDb }; // JSON leaves out what is undefined
}

// 16 bits little-endian, which is every browser's own order.
function encode(samples) {
  const words = new Int16Array(samples.length);
  for (let i = 0; i < samples.length; i++) words[i] = Math.max(-32768, Math.min(32767, Math.round(samples[i] * 32768)));
  return words.buffer;
}

function decode(buffer) {
  const words = new Int16Array(buffer);
  const samples = new Float32Array(words.length);
  for (let i = 0; i < words.length; i++) samples[i] = words[i] / 32768;
  return samples;
}
