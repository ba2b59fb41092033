// Still pictures of a whole recording: its waveform and its spectrogram, on one time axis.

import { SHADES } from "./colours.js";
import { Rows, Spectrum, frameSize } from "./fft.js";

const WIDTH = 720;
const WAVE_HEIGHT = 88;
const ROWS = 96;

/** The loudest sample of several buffers, so that their waveforms can share a scale. */
export function peakOf(buffer) {
  return buffer.getChannelData(0).reduce((peak, sample) => Math.max(peak, Math.abs(sample)), 1e-4);
}

export function drawWaveform(canvas, buffer, peak, ink) {
  canvas.width = WIDTH;
  canvas.height = WAVE_HEIGHT;
  const context = canvas.getContext("2d");
  const samples = buffer.getChannelData(0);
  context.fillStyle = ink;
  for (let x = 0; x < WIDTH; x++) {
    let low = 0;
    let high = 0;
    const end = Math.floor(((x + 1) * samples.length) / WIDTH);
    for (let i = Math.floor((x * samples.length) / WIDTH); i < end; i++) {
      if (samples[i] < low) low = samples[i];
      else if (samples[i] > high) high = samples[i];
    }
    const top = (WAVE_HEIGHT / 2) * (1 - high / peak);
    const bottom = (WAVE_HEIGHT / 2) * (1 - low / peak);
    context.fillRect(x, top, 1, Math.max(1, bottom - top));
  }
}

export function drawSpectrogram(canvas, buffer) {
  canvas.width = WIDTH;
  canvas.height = ROWS;
  const context = canvas.getContext("2d", { alpha: false });
  const image = context.createImageData(WIDTH, ROWS);
  const words = new Uint32Array(image.data.buffer);
  const samples = buffer.getChannelData(0);
  const spectrum = new Spectrum(frameSize(buffer.sampleRate));
  const rows = new Rows(buffer.sampleRate, spectrum.size, ROWS);
  const levels = new Float32Array(spectrum.size / 2);
  for (let x = 0; x < WIDTH; x++) {
    const start = Math.floor(((x + 0.5) * samples.length) / WIDTH) - spectrum.size / 2;
    spectrum.levels((i) => samples[start + i] ?? 0, levels);
    for (let row = 0; row < ROWS; row++) words[row * WIDTH + x] = SHADES[rows.shade(levels, row)];
  }
  context.putImageData(image, 0, 0);
}
