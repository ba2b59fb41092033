// Colours that canvases share with the style sheet.

/** The value of a custom property, as it is in force now. */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** 256 RGBA colours from silence to loud; the same in both themes, as the pictures stand on a dark panel. */
export const SHADES = makeShades([
  [0, [10, 15, 18]],
  [0.3, [13, 47, 52]],
  [0.62, [24, 128, 120]],
  [0.85, [112, 216, 190]],
  [1, [240, 255, 248]],
]);

function makeShades(stops) {
  const shades = new Uint32Array(256);
  const bytes = new Uint8ClampedArray(shades.buffer);
  for (let i = 0; i < 256; i++) {
    const value = i / 255;
    const upper = Math.max(1, stops.findIndex(([at]) => at >= value));
    const [from, low] = stops[upper - 1];
    const [to, high] = stops[upper];
    const t = (value - from) / (to - from);
    for (let part = 0; part < 3; part++) bytes[4 * i + part] = low[part] + t * (high[part] - low[part]);
    bytes[4 * i + 3] = 255;
  }
  return shades;
}
