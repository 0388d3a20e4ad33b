// Numbers, sizes and times for people. Pure but for the clock.

const NUMBERS = new Intl.NumberFormat("en");

export const count = (value) => NUMBERS.format(Math.round(value ?? 0));

/** `1 file`, `2 files`. */
export const plural = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

/** Bytes in powers of 1,000. */
export function size(bytes) {
  let value = bytes ?? 0;
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (value < 1000) return `${unit === "B" || value >= 100 ? Math.round(value) : value.toFixed(1)} ${unit}`;
    value /= 1000;
  }
  return `${value.toFixed(1)} TB`;
}

/** Seconds as `0.8 s`, `42 s`, `3 min 5 s`, `2 h 4 min`, `3 d 1 h`. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

/** A time stamp as `just now` or `5 min ago`; empty where there is none. */
export function ago(stamp, now = Date.now()) {
  if (!stamp) return "";
  const seconds = (now - new Date(stamp).getTime()) / 1000;
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 10) return "just now";
  if (seconds < 90) return `${Math.round(seconds)} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} d ago`;
}

/** A time stamp in the reader's own zone. */
export const moment = (stamp) => (stamp ? new Date(stamp).toLocaleString() : "");

/** Seconds between two time stamps. */
export const between = (from, to) => (from && to ? (new Date(to) - new Date(from)) / 1000 : NaN);

/** A number for a score: three significant digits. */
export const score = (value) => Number(value ?? 0).toPrecision(3);

/** A rate a second. */
export const rate = (value) => (value >= 100 ? count(value) : value.toFixed(1));
