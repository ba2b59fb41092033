// The live part of the page: one stream at a time, from the microphone or the demo, and the controls that steer it.

import { api } from "./api.js";
import { $, say } from "./dom.js";
import { LatencyPlot } from "./latency-plot.js";
import { LiveFigures, showModel } from "./live-figures.js";
import { listDevices, microphoneProblem } from "./microphone.js";
import { Quietwire, openContext, openMicrophone } from "./quietwire.js";
import { expectSound, watchSound } from "./sound.js";

const NO_LIMIT = 60; // the slider's right end stands for the protocol's 100
const FADE_SECONDS = 0.02;

export class Live extends EventTarget {
  #quietwire = null;
  #figures = null;
  #volume = null;
  #microphone = null; // the MediaStream
  #plot = new LatencyPlot($("latency"));
  #kind = "";
  #bypassed = false;
  #run = 0; // counts starts: what an older one still awaits must not disturb the newer
  #change = 0; // counts changes of the microphone, for the same reason

  constructor(choice) {
    super();
    this.choice = choice;
    $("start-microphone").addEventListener("click", () => this.start("microphone"));
    $("start-demo").addEventListener("click", () => this.start("demo"));
    $("stop").addEventListener("click", () => this.stop());
    $("bypass").addEventListener("click", () => this.#toggleBypass());
    $("limit").addEventListener("input", () => this.#applyLimit());
    $("device").addEventListener("change", () => this.#changeMicrophone());
    $("speaker").addEventListener("change", () => this.#applySpeaker());
    for (const input of document.querySelectorAll('[name="listen"]')) input.addEventListener("change", () => this.#applyVolume());
    choice.addEventListener("change", () => (this.#quietwire ? this.#quietwire.configure(this.#chosen) : this.showChosen()));
    document.addEventListener("keydown", (event) => this.#onKey(event));
    navigator.mediaDevices?.addEventListener?.("devicechange", () => this.#listDevices());
  }

  get running() {
    return this.#quietwire !== null;
  }

  /** What the chosen variant costs, before it runs; then the server says what is in force. */
  showChosen() {
    if (this.choice.row && !this.running) showModel(this.choice.row);
  }

  async start(kind) {
    const run = ++this.#run;
    const context = openContext(); // at once: browsers let sound begin only in the click itself
    await this.#release();
    if (run !== this.#run) return context.close();
    this.#kind = kind;
    say($("problem"), "");
    this.#show("connecting", kind === "demo" ? "Fetching the demo…" : "Asking for the microphone…");
    let source;
    try {
      source = kind === "demo" ? await demoSource(context) : await openMicrophone($("device").value);
    } catch (error) {
      context.close();
      if (run === this.#run) this.#fail(kind === "demo" ? "The demo could not be loaded. Is the server still running?" : microphoneProblem(error));
      return;
    }
    if (run !== this.#run) return discard(context, source);
    await this.#begin(context, source, run);
  }

  /** True when nothing else was started meanwhile. */
  async stop() {
    const run = ++this.#run;
    await this.#release();
    if (run === this.#run) this.#show("idle", "Stopped.");
    return run === this.#run;
  }

  async #begin(context, source, run) {
    const quietwire = new Quietwire({ context, token: api.token, attenuationLimitDb: this.#limit, ...this.#chosen });
    this.#quietwire = quietwire;
    this.#microphone = source instanceof MediaStream ? source : null;
    this.#figures = new LiveFigures(quietwire, this.#plot);
    const current = (handle) => ({ detail }) => quietwire === this.#quietwire && handle(detail);
    quietwire.addEventListener("state", current((detail) => this.#onState(detail)));
    for (const type of ["ready", "configured"]) quietwire.addEventListener(type, current((detail) => this.#onFacts(detail)));
    if (!this.#microphone) quietwire.addEventListener("ready", () => source.start(), { once: true });
    watchSound(context, $("problem"));
    expectSound(context, $("problem"));
    this.dispatchEvent(new Event("start"));
    try {
      await quietwire.start(source);
    } catch (error) {
      if (run !== this.#run) return;
      await this.#release();
      if (run === this.#run) this.#fail(microphoneProblem(error));
      return;
    }
    if (run !== this.#run) return;
    this.#volume = new GainNode(context, { gain: 0 });
    quietwire.output.connect(this.#volume).connect(context.destination);
    this.#applyVolume();
    if ($("speaker").value) this.#applySpeaker();
    this.#watchMicrophone();
    await this.#listDevices();
  }

  async #release() {
    const quietwire = this.#quietwire;
    if (!quietwire) return;
    this.#quietwire = null;
    this.#volume?.gain.setTargetAtTime(0, quietwire.context.currentTime, FADE_SECONDS / 3);
    silence(this.#microphone);
    this.#figures.stop();
    this.dispatchEvent(new Event("stop"));
    const { context } = quietwire;
    await quietwire.stop();
    if (context.state !== "closed") await context.close();
  }

  get #chosen() {
    const { model, variant } = this.choice;
    return model ? { model, variant } : {};
  }

  get #limit() {
    if (this.#bypassed) return 0;
    const limit = Number($("limit").value);
    return limit >= NO_LIMIT ? 100 : limit;
  }

  #onFacts(facts) {
    this.choice.adopt(facts);
    showModel(facts);
    this.dispatchEvent(new CustomEvent("playing", { detail: facts }));
  }

  #onState({ state, message, retryMs }) {
    if (state === "live") {
      say($("problem"), "");
      this.#show("live", this.#liveText());
    } else if (state === "connecting") {
      this.#show("connecting", "Connecting…");
    } else if (state === "reconnecting" && retryMs) {
      const why = message ?? "The server cannot be reached.";
      this.#show("reconnecting", `${why} Trying again in ${Math.max(1, Math.round(retryMs / 1000))} s…`);
    } else if (state === "failed") {
      this.#release();
      this.#fail(message);
      this.dispatchEvent(new Event("refused"));
    }
  }

  #liveText() {
    const what = this.#kind === "demo" ? "a noisy recording" : "your microphone";
    if (this.#bypassed) return `Live: ${what}, bypassed.`;
    return `Live: ${what}, denoised${document.querySelector('[name="listen"]:checked').value === "watch" ? ", sound off" : ""}.`;
  }

  #fail(message) {
    this.#show("failed", "Not running.");
    say($("problem"), message);
  }

  #show(state, text) {
    $("live").dataset.state = state;
    say($("state-text"), text);
    const on = state !== "idle" && state !== "failed";
    const focused = document.activeElement;
    $("stop").hidden = !on;
    for (const kind of ["microphone", "demo"]) $(`start-${kind}`).hidden = on && kind === this.#kind;
    if (focused?.hidden) (on ? $("stop") : $(`start-${this.#kind}`)).focus(); // the keyboard stays where it was
  }

  #refreshText() {
    if ($("live").dataset.state === "live") say($("state-text"), this.#liveText());
  }

  #toggleBypass() {
    this.#bypassed = !this.#bypassed;
    $("bypass").setAttribute("aria-pressed", this.#bypassed);
    this.#quietwire?.configure({ attenuationLimitDb: this.#limit });
    this.#refreshText();
  }

  #applyLimit() {
    const value = Number($("limit").value);
    const text = value >= NO_LIMIT ? "none" : `${value} dB`;
    say($("limit-text"), text);
    $("limit").setAttribute("aria-valuetext", text);
    this.#quietwire?.configure({ attenuationLimitDb: this.#limit });
  }

  #applyVolume() {
    const hear = document.querySelector('[name="listen"]:checked').value === "hear";
    this.#volume?.gain.setTargetAtTime(hear ? 1 : 0, this.#quietwire?.context.currentTime ?? 0, FADE_SECONDS);
    this.#refreshText();
  }

  async #applySpeaker() {
    try {
      await this.#quietwire?.context.setSinkId($("speaker").value);
    } catch {
      say($("problem"), "These headphones cannot be used. Choose others.");
    }
  }

  #onKey(event) {
    const typing = event.target.matches?.("input:not([type=radio], [type=range]), select, textarea");
    if (event.key.toLowerCase() !== "b" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    this.#toggleBypass();
  }

  async #changeMicrophone() {
    if (!this.#microphone) return;
    const run = this.#run;
    const change = ++this.#change;
    let microphone = null;
    try {
      microphone = await openMicrophone($("device").value);
      if (run !== this.#run || change !== this.#change || !this.running) return silence(microphone);
      this.#quietwire.replaceSource(microphone);
    } catch (error) {
      silence(microphone);
      if (run === this.#run && change === this.#change) say($("problem"), microphoneProblem(error));
      return;
    }
    say($("problem"), "");
    silence(this.#microphone);
    this.#microphone = microphone;
    this.#watchMicrophone();
  }

  #watchMicrophone() {
    const microphone = this.#microphone;
    microphone?.getAudioTracks()[0].addEventListener("ended", async () => {
      if (microphone !== this.#microphone || !this.running) return;
      if (await this.stop()) this.#fail("The microphone was disconnected. Plug it in or choose another one, then press the button again.");
    });
  }

  async #listDevices() {
    await listDevices($("device"), "audioinput");
    if ("setSinkId" in AudioContext.prototype) $("speaker-choice").hidden = !(await listDevices($("speaker"), "audiooutput"));
  }
}

// Played in a loop at real-time pace by the audio thread, through the same nodes as a microphone.
async function demoSource(context) {
  const answer = await fetch(new URL("demo-noisy.flac", import.meta.url));
  if (!answer.ok) throw new Error(`${answer.status}`);
  return new AudioBufferSourceNode(context, { buffer: await context.decodeAudioData(await answer.arrayBuffer()), loop: true });
}

// Its light goes out.
function silence(microphone) {
  microphone?.getTracks().forEach((track) => track.stop());
}

function discard(context, source) {
  if (source instanceof MediaStream) silence(source);
  context.close();
}
