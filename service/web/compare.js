// The comparison: one recording through every variant, played in step.

import { api } from "./api.js";
import { CompareRow } from "./compare-row.js";
import { $, say } from "./dom.js";
import { clock } from "./format.js";
import { microphoneProblem } from "./microphone.js";
import { peakOf } from "./pictures.js";
import { SyncPlayer } from "./player.js";
import { record } from "./recorder.js";
import { expectSound, watchSound } from "./sound.js";

const RECORD_SECONDS = 10;
const MAX_SECONDS = 120; // decoded audio of every variant is held in memory
const INPUT = "input";
const UNREADABLE = "This file cannot be read as audio. Take a WAV, FLAC, Ogg or MP3 file.";

export class Compare extends EventTarget {
  #player = null;
  #rows = new Map();
  #file = null;
  #reference = null;
  #recording = null;
  #run = 0;

  constructor(choice) {
    super();
    this.choice = choice;
    $("file").addEventListener("change", () => {
      this.#take($("file").files[0]);
      $("file").value = ""; // so that the same file can be chosen again
    });
    $("reference").addEventListener("change", () => this.#takeReference($("reference").files[0] ?? null));
    $("compare-demo").addEventListener("click", () => this.#takeDemo());
    $("record").addEventListener("click", () => this.#record());
    $("play").addEventListener("click", () => this.#togglePlay());
    $("seek").addEventListener("input", () => this.#player.seek(Number($("seek").value)));
    // On the whole page: a file dropped beside the frame would make the browser leave the page for it.
    for (const type of ["dragover", "dragleave", "drop"]) document.addEventListener(type, (event) => this.#onDrag(event));
  }

  pause() {
    this.#player?.pause();
  }

  #togglePlay() {
    if (this.#player.playing) return this.#player.pause();
    expectSound(this.#player.context, $("compare-problem"));
    return this.#player.play();
  }

  #onDrag(event) {
    if (!event.dataTransfer?.types.includes("Files") || event.target === $("reference")) return;
    event.preventDefault();
    $("drop").classList.toggle("over", event.type === "dragover");
    if (event.type === "drop") this.#take(event.dataTransfer.files[0]);
  }

  #take(file, reference = null) {
    if (!file) return;
    this.#file = file;
    this.#reference = reference ?? $("reference").files[0] ?? null;
    return this.#compare();
  }

  #takeReference(file) {
    this.#reference = file;
    if (file && this.#file) this.#compare();
    else if (file) say($("compare-state"), "Now the noisy recording that this is the clean signal of.");
  }

  async #takeDemo() {
    $("reference").value = "";
    try {
      const [noisy, clean] = await Promise.all(["demo-noisy.flac", "demo-clean.flac"].map(fetchFile));
      await this.#take(noisy, clean);
    } catch {
      this.#fail("The demo could not be loaded. Is the server still running?");
    }
  }

  async #record() {
    if (this.#recording) return this.#recording.abort();
    this.#recording = new AbortController();
    this.dispatchEvent(new Event("sound")); // what is playing would be recorded
    this.pause();
    say($("compare-problem"), "");
    say($("record"), "Stop recording");
    const show = (left) => say($("compare-state"), `Recording, ${Math.ceil(left)} s left…`);
    try {
      const file = await record(RECORD_SECONDS, $("device").value, show, this.#recording.signal);
      $("reference").value = "";
      this.#take(file);
    } catch (error) {
      if (error.name === "AbortError") say($("compare-state"), "");
      else this.#fail(microphoneProblem(error));
    } finally {
      this.#recording = null;
      say($("record"), "Record ten seconds");
    }
  }

  async #compare() {
    const run = ++this.#run;
    this.#prepare();
    try {
      const { rows } = this.choice;
      if (rows.length === 0) throw new Error("The server has not said yet which variants it has. Try again in a moment.");
      const buffer = await this.#read(this.#file, rows[0]);
      if (run !== this.#run) return;
      if (buffer.duration > MAX_SECONDS) throw new Error(`This recording lasts ${Math.round(buffer.duration)} s. Choose one of at most ${MAX_SECONDS} s.`);
      const peak = peakOf(buffer);
      this.#addRow(INPUT, "Unprocessed", null).show(buffer, this.#file, this.#file.name, peak);
      this.#player.add(INPUT, buffer);
      this.#player.choose(INPUT);
      $("results").hidden = false;
      for (const facts of rows) this.#addRow(keyOf(facts), keyOf(facts, " · "), facts);
      for (const [index, facts] of rows.entries()) {
        say($("compare-state"), `Enhancing with ${keyOf(facts, " ")}, ${index + 1} of ${rows.length}…`);
        await this.#enhance(facts, peak, run);
        if (run !== this.#run) return;
      }
      await this.#measure(rows, run);
    } catch (error) {
      if (run === this.#run) this.#fail(error.message);
    }
  }

  #prepare() {
    this.#player ??= this.#makePlayer();
    this.#player.clear();
    for (const row of this.#rows.values()) row.remove();
    this.#rows.clear();
    $("results").hidden = true;
    say($("compare-problem"), "");
    say($("compare-state"), `Reading ${this.#file.name}…`);
  }

  async #enhance(facts, peak, run) {
    const key = keyOf(facts);
    const { blob, figures } = await api.enhance(this.#file, facts);
    const buffer = await this.#decode(blob);
    if (run !== this.#run) return;
    const stem = this.#file.name.replace(/\.[^.]*$/, "");
    this.#rows.get(key).show(buffer, blob, `${stem}-${facts.model}-${facts.variant}.wav`, peak, figures);
    this.#player.add(key, buffer);
    if (this.#player.chosen === INPUT && !this.#player.playing) this.#player.choose(key);
  }

  async #measure(rows, run) {
    if (!this.#reference) return say($("compare-state"), "Done. A clean reference would add PESQ, STOI and SI-SDR.");
    say($("compare-state"), "Measuring against the clean reference…");
    const answer = await api.compare(this.#file, this.#reference, rows);
    if (run !== this.#run) return;
    for (const row of answer.variants) this.#rows.get(keyOf(row))?.measure(row, answer.unprocessed);
    if (answer.unprocessed) this.#rows.get(INPUT).measure(answer.unprocessed, null);
    say($("compare-state"), ["Done.", ...answer.notes].join(" "));
  }

  #addRow(key, title, facts) {
    const row = new CompareRow(key, title, facts, () => this.#player.choose(key), (share) => this.#player.seek(share * this.#player.duration));
    this.#rows.set(key, row);
    $("rows").append(row.element);
    return row;
  }

  // Browsers read fewer formats than the server, which gives a recording back as WAV when it may take away 0 dB.
  async #read(file, facts) {
    try {
      return await this.#decode(file);
    } catch {
      const { blob } = await api.enhance(file, facts, 0).catch((error) => {
        throw error.status === 415 ? new Error(UNREADABLE) : error;
      });
      return this.#decode(blob);
    }
  }

  async #decode(blob) {
    return this.#player.context.decodeAudioData(await blob.arrayBuffer());
  }

  #makePlayer() {
    const player = new SyncPlayer();
    watchSound(player.context, $("compare-problem"));
    let waiting = 0;
    const frame = () => {
      this.#showPosition();
      cancelAnimationFrame(waiting); // one loop, however many changes started it
      if (player.playing) waiting = requestAnimationFrame(frame);
    };
    player.addEventListener("change", () => {
      say($("play"), player.playing ? "Pause" : "Play");
      for (const row of this.#rows.values()) row.radio.checked = row.name === player.chosen;
      if (player.playing) this.dispatchEvent(new Event("sound"));
      const facts = this.#rows.get(player.chosen)?.facts;
      this.dispatchEvent(new CustomEvent("playing", { detail: player.playing ? facts : null }));
      frame();
    });
    return player;
  }

  #showPosition() {
    const { position, duration } = this.#player;
    $("seek").max = duration.toFixed(2);
    $("seek").value = position;
    $("seek").setAttribute("aria-valuetext", `${position.toFixed(1)} of ${duration.toFixed(1)} seconds`);
    say($("clock"), `${clock(position)} / ${clock(duration)}`);
    for (const row of this.#rows.values()) row.moveTo(duration ? position / duration : 0);
  }

  #fail(message) {
    say($("compare-state"), "");
    say($("compare-problem"), message);
  }
}

function keyOf({ model, variant }, separator = "/") {
  return `${model}${separator}${variant}`;
}

async function fetchFile(name) {
  const answer = await fetch(new URL(name, import.meta.url));
  if (!answer.ok) throw new Error(`${answer.status}`);
  return new File([await answer.blob()], name, { type: "audio/flac" });
}
