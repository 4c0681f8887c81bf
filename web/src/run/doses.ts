/** How far states were moved when a shift was measured, and what that did, at one place. */
import type { Maybe, RunFile, Row } from "../core";
import type { At } from "./scene.svelte";

export type Dosed = { dose: number; accuracy: Maybe; redirected: Maybe; low: Maybe; high: Maybe; chance: Maybe };
type Told = Pick<RunFile, "doses" | "places" | "edits">;

const maybe = (value: unknown): Maybe => (typeof value === "number" ? value : null);
const shifts = (file: Told): Row[] => file.doses.filter((one) => one.edit === "shift");

/** What was measured here, by dose: the doses of this very place, else its one shift, all the way. */
export function dosesAt(file: Told, { stream, position }: At): Dosed[] {
  const same = (one: { stream?: unknown; position?: unknown }) => one.stream === stream && one.position === position;
  const here = shifts(file).filter(same).map((one) => ({
    dose: Number(one.dose), accuracy: maybe(one.accuracy), redirected: maybe(one.redirected),
    low: maybe(one.redirected_low), high: maybe(one.redirected_high), chance: maybe(one.chance),
  }));
  if (here.length) return here.sort((a, b) => a.dose - b.dose);
  const place = file.places.find(same);
  if (place?.shift == null) return [];
  const edit = file.edits.find((one) => same(one) && one.edit === "shift");
  return [{
    dose: 1, accuracy: edit?.accuracy ?? null, redirected: place.shift, low: place.shift_low, high: place.shift_high, chance: place.chance,
  }];
}

/** Where more than one dose was measured, if anywhere. */
export function dosedPlace(file: Told): At | null {
  const one = shifts(file)[0];
  return one ? { stream: String(one.stream), position: String(one.position) } : null;
}

/** The measured dose nearest to the one asked for. */
export const nearestDose = (doses: readonly Dosed[], wanted: number): Dosed | null =>
  doses.length ? doses.reduce((best, one) => (Math.abs(one.dose - wanted) < Math.abs(best.dose - wanted) ? one : best)) : null;
