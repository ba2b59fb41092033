// Quietwire for any web page:
//
//   import { Quietwire, openMicrophone } from "https://your-server/web/quietwire.js";
//   const quietwire = new Quietwire({ variant: "combined" });
//   const clean = await quietwire.start(await openMicrophone()); // a MediaStream: play it, record it, send it to a call
//
// See docs/javascript.md.

import { EnhancementStream, defaultServer } from "./stream.js";

export { EnhancementStream };

const MAX_RATE = 48000;
const CHUNK_SECONDS = 0.01; // no longer than the models' hops, or samples would only wait

/** The microphone as it is: the browser's own processing would be denoised a second time. */
export function openMicrophone(deviceId) {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new DOMException("The microphone needs a page from https or from localhost.", "SecurityError");
  }
  const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: { ideal: 1 } };
  if (deviceId) audio.deviceId = { exact: deviceId };
  return navigator.mediaDevices.getUserMedia({ audio });
}

/** An AudioContext at the device's own rate, or at the highest that the service takes. */
export function openContext() {
  let context = new AudioContext({ latencyHint: "interactive" });
  if (context.sampleRate > MAX_RATE) {
    context.close();
    context = new AudioContext({ latencyHint: "interactive", sampleRate: MAX_RATE });
  }
  context.resume().catch(() => {}); // Safari grants it only in the click itself, so it is asked for before anything is awaited
  return context;
}

/** Every loaded variant with its size and quality, as in `GET /variants`. */
export async function listVariants({ server = defaultServer(), token } = {}) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(new URL("variants", server), { headers });
  if (!answer.ok) throw new Error((await answer.json()).message);
  return (await answer.json()).variants;
}

/**
 * Denoises a MediaStream or an AudioNode live.
 *
 * Events (`event.detail`): `state` {state, message?, retryMs?}, `ready`, `configured`, `stats`, `summary` (the server's
 * messages), `input` and `output` {samples, position}, `roundtrip` {ms}, `playout` {bufferedMs, late, step}.
 */
export class Quietwire extends EventTarget {
  #options;
  #source = null;
  #capture = null;
  #playout = null;
  #run = null; // from a start to the stop after it: what an older one still awaits must not disturb the newer

  /** @param {object} options server, model, variant, attenuationLimitDb, token, and an AudioContext as `context`. */
  constructor(options = {}) {
    super();
    this.#options = options;
    this.context = options.context ?? null;
    this.stream = null;
    this.output = null; // the AudioNode with the enhanced signal, once started
  }

  /** Start with a MediaStream or an AudioNode; gives a MediaStream of the enhanced signal. */
  async start(source) {
    if (this.#run) throw new DOMException("Stop it before it is started again.", "InvalidStateError");
    const run = (this.#run = {});
    this.context ??= openContext();
    const { context } = this;
    try {
      await Promise.all([context.resume(), context.audioWorklet.addModule(new URL("worklet.js", import.meta.url))]);
      if (run !== this.#run) throw new DOMException("It was stopped before it had started.", "AbortError");
      return this.#open(context, source);
    } catch (error) {
      if (run === this.#run) await this.stop();
      throw error;
    }
  }

  #open(context, source) {
    const rate = context.sampleRate;
    this.#capture = new AudioWorkletNode(context, "quietwire-capture", {
      numberOfOutputs: 0,
      channelCount: 1,
      channelCountMode: "explicit", // stereo is mixed down
      processorOptions: { chunkSamples: Math.round(rate * CHUNK_SECONDS) },
    });
    this.#playout = new AudioWorkletNode(context, "quietwire-playout", { numberOfInputs: 0, outputChannelCount: [1] });
    this.stream = new EnhancementStream({ ...this.#options, sampleRate: rate });
    this.#wire(this.stream, this.#capture, this.#playout);
    this.replaceSource(source); // before there is a connection: a browser may refuse the source
    this.stream.open();
    this.output = this.#playout;
    const destination = new MediaStreamAudioDestinationNode(context, { channelCount: 1 });
    this.output.connect(destination);
    return destination.stream;
  }

  /** Go on with another microphone or node, without a new connection. */
  replaceSource(source) {
    const node = source instanceof AudioNode ? source : new MediaStreamAudioSourceNode(this.context, { mediaStream: source });
    if (node === this.#source) return;
    node.connect(this.#capture); // which throws where it is of another context
    this.#source?.disconnect(this.#capture);
    this.#source = node;
  }

  /** Change model, variant or attenuationLimitDb (0 is a bypass with the same delay) while the sound goes on. */
  configure(changes) {
    Object.assign(this.#options, changes);
    this.stream?.configure(changes);
  }

  /** Stop; gives the server's summary. Tracks and a context that were handed in are left to their owner. */
  async stop() {
    if (!this.#run) return null;
    const { context, stream } = this;
    const nodes = [this.#capture, this.#playout].filter(Boolean);
    this.#source?.disconnect(this.#capture);
    this.#run = this.#source = this.#capture = this.#playout = this.stream = this.output = null;
    this.context = this.#options.context ?? null;
    const summary = stream ? await stream.end() : null;
    for (const node of nodes) {
      node.port.postMessage("stop");
      node.disconnect();
    }
    if (context !== this.#options.context) await context.close();
    return summary;
  }

  #wire(stream, capture, playout) {
    const emit = (type, detail) => {
      if (this.stream === stream || !this.stream) this.#emit(type, detail); // not what comes late from a former one
    };
    let position = 0; // of the stream, like those of its output
    capture.port.onmessage = ({ data }) => {
      emit("input", { samples: data, position });
      position += data.length;
      stream.send(data);
    };
    playout.port.onmessage = ({ data }) => emit("playout", data);
    stream.addEventListener("audio", ({ detail }) => {
      emit("output", detail);
      playout.port.postMessage(detail.samples);
    });
    for (const type of ["state", "ready", "configured", "stats", "summary", "error", "roundtrip"]) {
      stream.addEventListener(type, ({ detail }) => emit(type, detail));
    }
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
