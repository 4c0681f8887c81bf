/**
 * The axis of time. Whatever it shows (steps, tokens, seconds), a place on it
 * belongs to a recorded step; what was not measured lies between its neighbors.
 */
import type { Maybe } from "./types";
import type { ViewState } from "./state";

/** One mark of an axis. */
export interface Tick {
  value: number;
  /** Pixels. */
  at: number;
  text: string;
}

/** From values to pixels and back. */
export interface Axis {
  /** The value of each recorded step, never falling. */
  readonly values: readonly number[];
  /** What is really shown: "linear" where tokens or seconds were not recorded. */
  readonly kind: ViewState["axis"];
  /** Pixels of a value. */
  pixel(value: number): number;
  /** Value at pixels. */
  value(pixel: number): number;
  /** Pixels of a step, recorded or not. */
  stepPixel(step: number): number;
  /** Place in the list of the recorded step nearest to a pixel; -1 where there is none. */
  nearest(pixel: number): number;
  /** About `count` marks at round values. */
  ticks(count?: number): Tick[];
}

/** The times at which steps were recorded; null where they are not known. */
export interface Times {
  steps: readonly number[];
  tokens: readonly Maybe[] | null;
  seconds: readonly Maybe[] | null;
}

/** Below this the symmetric log is nearly linear: step 0 has a place. */
const BEND = 1;
const symlog = (x: number): number => Math.sign(x) * Math.log1p(Math.abs(x) / BEND);
const symexp = (y: number): number => Math.sign(y) * BEND * Math.expm1(Math.abs(y));

/**
 * An axis over the recorded steps.
 * @param left Pixels of the first step.
 * @param right Pixels of the last step.
 */
export function makeAxis(kind: ViewState["axis"], times: Times, left: number, right: number): Axis {
  const asked = kind === "tokens" ? times.tokens : kind === "seconds" ? times.seconds : times.steps;
  const filled = asked && fill(asked, times.steps);
  const values = filled ?? [...times.steps];
  const shown = filled ? kind : "linear";
  const [bend, unbend] = shown === "log" ? [symlog, symexp] : [(x: number) => x, (x: number) => x];
  const [low, high] = [bend(values[0] ?? 0), bend(values.at(-1) ?? 1)];
  const span = high - low;
  // One step alone stands in the middle.
  const pixel = (value: number): number =>
    span > 0 ? left + ((bend(value) - low) / span) * (right - left) : (left + right) / 2;
  const value = (at: number): number =>
    span > 0 ? unbend(low + ((at - left) / (right - left)) * span) : (values[0] ?? 0);
  return {
    values, kind: shown, pixel, value,
    stepPixel: (step) => pixel(along(times.steps, values, step)),
    nearest: (at) => nearestIndex(values.map(pixel), at),
    ticks: (count = 6) => {
      const from = values[0] ?? 0;
      const to = values.at(-1) ?? 1;
      const rule = shown === "log" ? logTicks : shown === "seconds" ? timeTicks : roundTicks;
      const write = shown === "seconds" ? timeText : numberText;
      return rule(from, to, count).map((one) => ({ value: one, at: pixel(one), text: write(one) }));
    },
  };
}

/** Fills missing values between neighbors, and lets none fall; null where fewer than two are known. */
function fill(values: readonly Maybe[], steps: readonly number[]): number[] | null {
  const known = steps.flatMap((step, i) => (Number.isFinite(values[i] ?? NaN) ? [[step, values[i]!] as const] : []));
  if (known.length < Math.min(2, steps.length) || !known.length) return null;
  let last = -Infinity;
  const [at, of] = [known.map(([step]) => step), known.map(([, value]) => value)];
  return steps.map((step) => (last = Math.max(last, along(at, of, step))));
}

/** Linear between the known values, and on beyond the last ones at their slope. */
function along(at: readonly number[], of: readonly number[], x: number): number {
  if (at.length < 2) return of[0] ?? x;
  let i = at.findIndex((one) => one >= x);
  i = Math.max(1, i === -1 ? at.length - 1 : i);
  const [x0, x1, y0, y1] = [at[i - 1]!, at[i]!, of[i - 1]!, of[i]!];
  return x1 === x0 ? y1 : y0 + ((x - x0) / (x1 - x0)) * (y1 - y0);
}

/** Place in the list of what is nearest to `x`, the first of equals; -1 in an empty list. */
export function nearestIndex(values: readonly number[], x: number): number {
  let best = -1;
  values.forEach((one, i) => {
    if (best === -1 || Math.abs(one - x) < Math.abs(values[best]! - x)) best = i;
  });
  return best;
}

/** Multiples of 1, 2 or 5 times a power of ten within the bounds, about `count` of them. */
export function roundTicks(from: number, to: number, count = 6): number[] {
  if (!(to > from)) return Number.isFinite(from) ? [from] : [];
  const raw = (to - from) / Math.max(1, count);
  const ten = 10 ** Math.floor(Math.log10(raw));
  const by = ten * ([1, 2, 5].find((one) => one * ten >= raw * 0.999) ?? 10);
  return multiples(from, to, by);
}

function multiples(from: number, to: number, by: number): number[] {
  const first = Math.ceil(from / by - 1e-9);
  const last = Math.floor(to / by + 1e-9);
  // Through the text: 3 * 0.1 is 0.30000000000000004.
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * by).toPrecision(12)));
}

/** Zero and powers of ten; with 2 and 5 between where there is room. */
function logTicks(from: number, to: number, count: number): number[] {
  if (!(to > from)) return [from];
  const all = (factors: number[]): number[] => {
    const found = from <= 0 ? [0] : [];
    for (let ten = 1; ten <= to; ten *= 10) found.push(...factors.map((one) => one * ten));
    return found.filter((one) => one >= from && one <= to);
  };
  const tens = all([1]);
  if (tens.length > 1.5 * count) return tens.filter((_, i) => i % Math.ceil(tens.length / count) === 0);
  const dense = all([1, 2, 5]);
  const found = dense.length <= 1.5 * count ? dense : tens;
  return found.length >= 2 ? found : roundTicks(from, to, count);
}

/** Spans of time that people count in, in seconds. */
const SPANS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];

function timeTicks(from: number, to: number, count: number): number[] {
  const raw = (to - from) / Math.max(1, count);
  if (raw < 0.7) return roundTicks(from, to, count);
  const by = SPANS.find((one) => one >= raw * 0.999);
  if (by === undefined) return roundTicks(from / 86400, to / 86400, count).map((day) => day * 86400);
  return multiples(from, to, by);
}

/** A number in few characters: 950, 1.2k, 3M, 2B. */
export function numberText(value: number): string {
  const size = Math.abs(value);
  for (const [one, letter] of [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]] as const)
    if (size >= one) return `${Number((value / one).toPrecision(3))}${letter}`;
  return `${Number(value.toPrecision(3))}`;
}

/** A span of time in few characters: 40s, 2m, 1h 30m, 3d. */
export function timeText(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${Number(seconds.toPrecision(3))}s`;
  const parts: [number, string][] = [
    [Math.floor(whole / 86400), "d"],
    [Math.floor(whole / 3600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "m"],
    [whole % 60, "s"],
  ];
  const first = parts.findIndex(([n]) => n > 0);
  return parts.slice(first, first + 2).filter(([n]) => n > 0).map(([n, unit]) => `${n}${unit}`).join(" ");
}
