// The two ends of a live stream on the audio thread: capture cuts the input into chunks, play-out evens out their return.

import { PlayoutBuffer } from "./playout.js";

const REPORT_SECONDS = 0.1;

class Capture extends AudioWorkletProcessor {
  #chunk;
  #fill = 0;
  #running = true;

  constructor({ processorOptions }) {
    super();
    this.size = processorOptions.chunkSamples;
    this.#chunk = new Float32Array(this.size);
    this.port.onmessage = () => (this.#running = false);
  }

  process([[samples]]) {
    if (samples) this.#append(samples); // nothing is connected between two microphones
    return this.#running;
  }

  #append(samples) {
    for (let from = 0; from < samples.length; ) {
      const take = Math.min(samples.length - from, this.size - this.#fill);
      this.#chunk.set(samples.subarray(from, from + take), this.#fill);
      this.#fill += take;
      from += take;
      if (this.#fill === this.size) {
        this.port.postMessage(this.#chunk, [this.#chunk.buffer]);
        this.#chunk = new Float32Array(this.size);
        this.#fill = 0;
      }
    }
  }
}

class Playout extends AudioWorkletProcessor {
  #buffer = new PlayoutBuffer(sampleRate);
  #untilReport = 0;
  #running = true;

  constructor() {
    super();
    this.port.onmessage = ({ data }) => (data === "stop" ? (this.#running = false) : this.#buffer.push(data));
  }

  process(_, [[out]]) {
    const buffer = this.#buffer;
    buffer.pull(out);
    this.#untilReport -= out.length;
    if (this.#untilReport <= 0) {
      this.#untilReport = REPORT_SECONDS * sampleRate;
      this.port.postMessage({ bufferedMs: buffer.buffered * 1000, late: buffer.late, step: buffer.step });
    }
    return this.#running;
  }
}

registerProcessor("quietwire-capture", Capture);
registerProcessor("quietwire-playout", Playout);
