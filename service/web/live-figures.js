// Everything that moves while a live stream runs: spectrograms, meters, figures and the latency plot.

import { $, say } from "./dom.js";
import { bytes, decibels, milliseconds, percent } from "./format.js";
import { Series } from "./latency-plot.js";
import { FLOOR_DB, Meter } from "./meters.js";
import { SpectrogramPair } from "./spectrogram.js";

const METERS_MS = 50;
const FIGURES_MS = 250;
const CHUNK_MS = 10;

export class LiveFigures {
  #timers = [];

  /** @param {Quietwire} quietwire A live stream with its AudioContext. @param {LatencyPlot} plot */
  constructor(quietwire, plot) {
    this.quietwire = quietwire;
    const rate = quietwire.context.sampleRate;
    this.pair = new SpectrogramPair($("spectrogram-in"), $("spectrogram-out"), rate);
    this.meters = { input: new Meter($("meter-in"), rate), output: new Meter($("meter-out"), rate) };
    this.roundTrip = new Series();
    this.server = new Series();
    this.playout = { bufferedMs: 0, late: 0 };
    this.plot = plot;
    plot.lines = [
      { series: this.server, property: "--field" },
      { series: this.roundTrip, property: "--accent" },
    ];
    this.#listen();
    this.#timers.push(setInterval(() => this.#showMeters(), METERS_MS), setInterval(() => this.#show(), FIGURES_MS));
  }

  stop() {
    this.#timers.forEach(clearInterval);
    this.pair.stop();
    this.#show();
    for (const meter of Object.values(this.meters)) meter.clear();
  }

  #listen() {
    for (const name of ["input", "output"]) {
      this.quietwire.addEventListener(name, ({ detail: { samples, position } }) => {
        this.pair[name].push(samples, position);
        this.meters[name].push(samples);
      });
    }
    this.quietwire.addEventListener("roundtrip", ({ detail }) => this.roundTrip.add(detail.ms));
    this.quietwire.addEventListener("stats", ({ detail }) => this.server.add(detail.latency_ms));
    this.quietwire.addEventListener("playout", ({ detail }) => (this.playout = detail));
  }

  #showMeters() {
    this.meters.input.show();
    this.meters.output.show();
  }

  #show() {
    const { stream, context } = this.quietwire;
    const before = this.meters.input.pauseLevel;
    const after = this.meters.output.pauseLevel;
    if (before !== null && after !== null) {
      say($("figure-pauses"), decibels(Math.min(0, after - before)));
      say($("figure-pauses-detail"), `${decibels(before).replace(" dB", "")} to ${after <= FLOOR_DB ? "below " : ""}${decibels(after)}`);
    }
    const trip = this.roundTrip.percentiles(0.5, 0.95);
    const server = this.server.percentiles(0.5, 0.95);
    for (const [name, values] of [["roundtrip", trip], ["server", server]]) {
      say($(`figure-${name}`), values ? milliseconds(values[0]) : "–");
      if (values) say($(`figure-${name}-detail`), `p50; p95 ${milliseconds(values[1])}`);
    }
    if (trip && context) {
      const device = ((context.baseLatency ?? 0) + (context.outputLatency ?? 0)) * 1000;
      say($("figure-ear"), milliseconds(CHUNK_MS + trip[0] + this.playout.bufferedMs + device));
      say($("figure-ear-detail"), `buffer ${Math.round(this.playout.bufferedMs)}, device ${Math.round(device)}`);
    }
    const dropped = stream?.dropped ?? 0;
    say($("figure-lost"), `${dropped + this.playout.late}`);
    say($("figure-lost-detail"), `${dropped} dropped, ${this.playout.late} late`);
    this.plot.show();
  }
}

/** The model that is in force, in the figures and over the spectrograms. */
export function showModel(facts) {
  say($("figure-model"), bytes(facts.model_bytes));
  say($("figure-model-detail"), facts.size_ratio === 1 ? "32-bit original" : `${percent(facts.size_ratio)} of the original`);
  say($("playing"), `${facts.model} · ${facts.variant} · ${bytes(facts.model_bytes)}`);
}
