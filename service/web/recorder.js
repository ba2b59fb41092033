// Ten seconds of the microphone as a file, taken by the same worklet as the live stream.

import { openContext, openMicrophone } from "./quietwire.js";
import { wavFile } from "./wav.js";

const CHUNK_SECONDS = 0.1;

/**
 * @param {number} seconds
 * @param {string} deviceId Empty for the default.
 * @param {(left: number) => void} progress Called with the seconds that are left.
 * @param {AbortSignal} signal Ends it early; what there is by then is kept. Before it has begun, an AbortError.
 */
export async function record(seconds, deviceId, progress, signal) {
  const context = openContext();
  let microphone = null;
  try {
    microphone = await openMicrophone(deviceId);
    await Promise.all([context.resume(), context.audioWorklet.addModule(new URL("worklet.js", import.meta.url))]);
    signal.throwIfAborted(); // while the microphone was asked for
    const chunkSamples = Math.round(CHUNK_SECONDS * context.sampleRate);
    const capture = new AudioWorkletNode(context, "quietwire-capture", {
      numberOfOutputs: 0,
      channelCount: 1,
      channelCountMode: "explicit",
      processorOptions: { chunkSamples },
    });
    const chunks = [];
    await new Promise((resolve) => {
      signal.addEventListener("abort", resolve, { once: true });
      capture.port.onmessage = ({ data }) => {
        chunks.push(data);
        const left = seconds - chunks.length * CHUNK_SECONDS;
        progress(left);
        if (left <= 0) resolve();
      };
      new MediaStreamAudioSourceNode(context, { mediaStream: microphone }).connect(capture);
    });
    return wavFile(chunks, context.sampleRate, "recording.wav");
  } finally {
    microphone?.getTracks().forEach((track) => track.stop());
    context.close();
  }
}
