/** Numbers and places as text. */
import { interval, number } from "../story/parts";
import type { Maybe, Place } from "../core";

export { interval, number };

/** The largest of the nulls that were measured. */
export function topNull(...nulls: (Maybe | undefined)[]): Maybe {
  const known = nulls.filter((one): one is number => one != null);
  return known.length ? Math.max(...known) : null;
}

/** What a random edit of the same size does at a place: the control of erasing. */
export const control = (place: Place): Maybe => topNull(place.random_erase, place.displaced);

export function ago(unix: number, now: number): string {
  const seconds = Math.max(0, now - unix);
  const units = [["d", 86400], ["h", 3600], ["min", 60]] as const;
  for (const [name, size] of units) if (seconds >= size) return `${Math.floor(seconds / size)} ${name}`;
  return `${Math.floor(seconds)} s`;
}
