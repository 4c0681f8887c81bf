/** What a cloud tells about single rows: their paths, who moved most, who lies near. */
import type { Frame, Trail } from "./scene";

/**
 * The paths of rows through frames, in coordinates as `Cloud` draws them.
 * @param trueRadius The radius drawn as one unit in true scale; undefined where each frame is at radius one.
 */
export function trailsOf(
  frames: readonly Frame[],
  k: number,
  rows: readonly number[],
  color: (row: number) => number,
  trueRadius?: number,
): Trail[] {
  const scale = frames.map((frame) => frame.unit * (trueRadius ? frame.radius / trueRadius : 1));
  return rows.map((row) => {
    const points = new Float32Array(frames.length * k);
    frames.forEach((frame, step) => {
      for (let i = 0; i < k; i++) points[step * k + i] = frame.data[row * k + i]! * scale[step]!;
    });
    return { points, color: color(row) };
  });
}

/** Distance of each row between two frames, in radii of the cloud. */
export function distances(a: Frame, b: Frame, k: number): Float32Array {
  return Float32Array.from({ length: a.data.length / k }, (_, row) => {
    let sum = 0;
    for (let i = 0; i < k; i++) sum += (b.data[row * k + i]! * b.unit - a.data[row * k + i]! * a.unit) ** 2;
    return Math.sqrt(sum);
  });
}

/**
 * The rows that moved most between two frames, the farthest first.
 * @param among Only these rows; all by default.
 */
export function movedMost(a: Frame, b: Frame, k: number, count: number, among?: ReadonlySet<number>): number[] {
  const far = distances(a, b, k);
  if (!among) return most(far, count, -1);
  return most(far, far.length, -1).filter((row) => among.has(row)).slice(0, Math.max(0, count));
}

/** The rows nearest to a row in all k coordinates, itself left out, the nearest first. */
export function nearestRows(frame: Frame, k: number, row: number, count: number): number[] {
  const far = Float32Array.from({ length: frame.data.length / k }, (_, other) => {
    if (other === row) return Infinity;
    let sum = 0;
    for (let i = 0; i < k; i++) sum += (frame.data[other * k + i]! - frame.data[row * k + i]!) ** 2;
    return sum;
  });
  return most(far, Math.min(count, far.length - 1), 1);
}

function most(values: Float32Array, count: number, sign: 1 | -1): number[] {
  const order = Array.from(values, (_, row) => row).sort((p, q) => sign * (values[p]! - values[q]!) || p - q);
  return order.slice(0, Math.max(0, count));
}

/** The row of the cloud that stands for one that is not in it: one of the same instruction; -1 where there is none. */
export function standIn(row: number, index: readonly number[], instruction: readonly (string | null)[] | null): number {
  const text = instruction?.[row] ?? null;
  return text === null ? -1 : (index.find((one) => instruction![one] === text) ?? -1);
}

/**
 * The rows that a selection could have come from: those of the groups in focus where all selected are of these, else all.
 * @param codes Group of each row of `index`, as the cloud colors them.
 */
export function baseOf(
  selected: readonly number[], index: readonly number[], codes: readonly number[], focus: readonly number[],
): { rows: readonly number[]; focused: boolean } {
  const rows = index.filter((_, place) => focus.includes(codes[place]!));
  const known = new Set(rows);
  // with the cloud's own tools only rows in focus can be selected
  const focused = rows.length < index.length && selected.every((row) => known.has(row));
  return { rows: focused ? rows : index, focused };
}

/** About `most` items, evenly spaced, the first and the last among them. */
export function spread<T>(items: readonly T[], most: number): T[] {
  if (items.length <= most) return [...items];
  const last = items.length - 1;
  return Array.from({ length: most }, (_, i) => items[Math.round((i * last) / Math.max(1, most - 1))]!);
}

/** How far a row moves from each frame to the next, and the median of all rows beside it; in radii of the cloud. */
export function movesOf(frames: readonly Frame[], k: number, row: number): { own: number[]; median: number[] } {
  const own: number[] = [];
  const median: number[] = [];
  for (let at = 1; at < frames.length; at++) {
    const far = distances(frames[at - 1]!, frames[at]!, k);
    own.push(far[row] ?? NaN);
    far.sort();
    median.push((far[Math.floor((far.length - 1) / 2)]! + far[Math.ceil((far.length - 1) / 2)]!) / 2);
  }
  return { own, median };
}

/** How many of the rows chosen have a label, beside what chance gives. */
export interface Part {
  code: number;
  /** Rows chosen that have it. */
  chosen: number;
  /** All rows that have it. */
  all: number;
  /** As many are expected if the rows had been drawn blindly. */
  chance: number;
}

/**
 * The labels of the rows chosen, the most frequent first.
 * @param codes Label of each row; below 0 is none.
 * @param among The rows that could have been chosen.
 */
export function composition(chosen: readonly number[], codes: ArrayLike<number>, among: readonly number[]): Part[] {
  const count = (rows: readonly number[]): Map<number, number> => {
    const found = new Map<number, number>();
    for (const row of rows) found.set(codes[row] ?? -1, (found.get(codes[row] ?? -1) ?? 0) + 1);
    return found;
  };
  const [some, all] = [count(chosen), count(among)];
  return [...some].sort(([p, n], [q, m]) => m - n || p - q).map(([code, n]) => ({
    code, chosen: n, all: all.get(code) ?? 0, chance: among.length ? (chosen.length * (all.get(code) ?? 0)) / among.length : NaN,
  }));
}

/** One answer over some steps in a row. */
export interface Spell {
  from: number;
  to: number;
  answer: string | null;
  correct: 1 | 0 | null;
}

/** Puts equal answers of neighboring steps together; the steps rise. */
export function spells(answers: readonly { step: number; answer: string | null; correct: 1 | 0 | null }[]): Spell[] {
  const found: Spell[] = [];
  for (const { step, answer, correct } of answers) {
    const last = found.at(-1);
    if (last && last.answer === answer && last.correct === correct) last.to = step;
    else found.push({ from: step, to: step, answer, correct });
  }
  return found;
}
