/** Numbers and places as text. */
import { interval, number } from "../story/parts";
import type { Maybe, Place, Series } from "../core";

export { interval, number };

/** The largest of the nulls that were measured. */
export function topNull(...nulls: (Maybe | undefined)[]): Maybe {
  const known = nulls.filter((one): one is number => one != null);
  return known.length ? Math.max(...known) : null;
}

/** The null of a series that is hardest to beat, at a step and a stream by their places. */
export function nullOf(series: Series, step: number, stream: number): Maybe {
  const known = [series.n0, series.n1, series.n2].map((table) => table?.[step]?.[stream]).filter((one) => one != null);
  return known.length ? (series.lower ? Math.min(...known) : Math.max(...known)) : null;
}

/** What a random edit of the same size does at a place: the control of erasing. */
export const control = (place: Place): Maybe => topNull(place.random_erase, place.displaced);

/** What an edit did at a place, beside what a control of the same size did. */
export type Effect = { edit: "erase" | "shift"; value: number; control: Maybe; low: Maybe | undefined; high: Maybe | undefined };

export function effects(place: Place): Effect[] {
  const shifted = topNull(place.chance, place.random_direction, place.wrong_task, place.mean_shift, place.shuffled, place.other_input);
  const both: (Omit<Effect, "value"> & { value: Maybe })[] = [
    { edit: "erase", value: place.erase, control: control(place), low: place.erase_low, high: place.erase_high },
    { edit: "shift", value: place.shift, control: shifted, low: place.shift_low, high: place.shift_high },
  ];
  return both.filter((one): one is Effect => one.value != null);
}

/** The edit that does most beyond its control: what a verdict of use rests on. */
export function effectOf(place: Place): Effect | null {
  return effects(place).reduce<Effect | null>((best, one) => (beyondControl(one) > beyondControl(best) ? one : best), null);
}

/** How much more an edit does than its control; less than anything where there is no edit. */
export const beyondControl = (one: Effect | null): number => (one ? one.value - (one.control ?? 0) : -Infinity);

/** How long ago something was: a number, and the key of its unit. */
export function ago(unix: number, now: number): { n: number; unit: "d" | "h" | "min" | "s" } {
  const seconds = Math.max(0, now - unix);
  const units = [["d", 86400], ["h", 3600], ["min", 60]] as const;
  for (const [unit, size] of units) if (seconds >= size) return { n: Math.floor(seconds / size), unit };
  return { n: Math.floor(seconds), unit: "s" };
}
