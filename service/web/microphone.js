// Devices to choose from, and what the browser means when it refuses one.

import { element } from "./dom.js";

const WORDS = {
  NotAllowedError: "The browser did not allow the microphone. Allow it for this page in the address bar, then press the button again.",
  NotFoundError: "No microphone was found. Plug one in, or play the demo.",
  NotReadableError: "The microphone is in use by another program. Close that one, then press the button again.",
  OverconstrainedError: "The chosen microphone is gone. Choose another one below.",
  SecurityError: "Browsers give the microphone only to pages from https or from localhost. Open this page that way, or play the demo.",
  NotSupportedError: "This browser cannot take the microphone at the rate of its loudspeaker. Set both to 48 kHz, or use another browser.",
};

/** A sentence for a fault of the microphone or of Web Audio. */
export function microphoneProblem(error) {
  return WORDS[error.name] ?? `The microphone could not be started: ${error.message}`;
}

/** Fill a `select` with the devices of a kind; names are known only once the microphone was allowed. */
export async function listDevices(select, kind, chosen = select.value) {
  const devices = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  const named = devices.filter((device) => device.kind === kind && device.label && device.deviceId !== "default");
  const options = named.map(({ deviceId, label }) => element("option", { value: deviceId, textContent: label }));
  select.replaceChildren(select.options[0], ...options);
  select.value = named.some(({ deviceId }) => deviceId === chosen) ? chosen : "";
  return named.length;
}
