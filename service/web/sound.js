// Whether the browser lets the sound run, in plain words.

import { say } from "./dom.js";

const SILENT_MS = 4000;
const PAUSED = "The browser has paused the sound. Click anywhere on the page to go on.";
const NOT_STARTED = "The browser has not started the sound. Is a loudspeaker or are headphones connected?";

/** Tell in `element` when a running context is paused, as for a telephone call; the next click on the page goes on. */
export function watchSound(context, element) {
  const wake = () => {
    if (context.state === "closed") document.removeEventListener("click", wake);
    else context.resume().catch(() => {});
  };
  document.addEventListener("click", wake);
  context.addEventListener("statechange", () => {
    const paused = context.state === "suspended" || context.state === "interrupted"; // the latter is Safari's
    if (paused) say(element, PAUSED);
    else if (element.textContent === PAUSED || element.textContent === NOT_STARTED) say(element, "");
  });
}

/** Tell in `element` when a context that was asked to run does not: without a sound device, browsers wait and say nothing. */
export function expectSound(context, element) {
  setTimeout(() => context.state === "suspended" && say(element, NOT_STARTED), SILENT_MS);
}
