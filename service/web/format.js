// Numbers as people read them.

export function bytes(count) {
  if (count < 1000) return `${count} B`;
  if (count < 999_500) return `${(count / 1000).toPrecision(3).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "")} kB`;
  return `${(count / 1e6).toPrecision(3).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "")} MB`;
}

export function percent(ratio) {
  return `${(ratio * 100).toFixed(ratio < 0.1 ? 1 : 0)} %`;
}

export function milliseconds(ms) {
  return ms == null ? "–" : `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

/** Decibels with a real minus sign. */
export function decibels(level, digits = 0) {
  return level == null ? "–" : `${level < 0 ? "−" : ""}${Math.abs(level).toFixed(digits)} dB`;
}

export function figure(value, digits) {
  if (value == null || !Number.isFinite(value)) return "–";
  return `${value < 0 ? "−" : ""}${Math.abs(value).toFixed(digits)}`;
}

export function clock(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
