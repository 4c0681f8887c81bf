import { expect, test } from "vitest";
import type { Edit, Place, Row } from "../src/core";
import { dosedPlace, dosesAt, nearestDose } from "../src/run/doses";

const dose = (dose: number, redirected: number, edit = "shift"): Row =>
  ({ edit, dose, redirected, redirected_low: 0, redirected_high: 1, accuracy: 0.5, chance: 0.05, stream: "block.3", position: "last" });
const place = (stream: string, shift: number | null) =>
  ({ stream, position: "last", shift, shift_low: 0, shift_high: 0.1, chance: 0.05 }) as Place;
const file = {
  doses: [dose(1, 0.8), dose(0, 0), dose(0.5, 0.02), dose(0.25, 0.9, "shuffled")],
  places: [place("block.1", 0), place("block.2", null), place("block.3", 0.8)],
  edits: [{ stream: "block.1", position: "last", edit: "shift", accuracy: 0.99 } as Edit],
};

test("a place with doses shows its own, rising, and no control's", () => {
  const doses = dosesAt(file, { stream: "block.3", position: "last" });
  expect(doses.map((one) => one.dose)).toEqual([0, 0.5, 1]);
  expect(nearestDose(doses, 0.6)?.redirected).toBe(0.02);
});

test("a place without doses shows its own shift and never another place's", () => {
  const doses = dosesAt(file, { stream: "block.1", position: "last" });
  expect(doses).toEqual([{ dose: 1, accuracy: 0.99, redirected: 0, low: 0, high: 0.1, chance: 0.05 }]);
  expect(nearestDose(doses, 0.3)?.dose).toBe(1);
  expect(dosedPlace(file)).toEqual({ stream: "block.3", position: "last" });
});

test("where nothing was measured there is no dose", () => {
  expect(dosesAt(file, { stream: "block.2", position: "last" })).toEqual([]);
  expect(nearestDose([], 1)).toBeNull();
  expect(dosedPlace({ ...file, doses: [] })).toBeNull();
});
