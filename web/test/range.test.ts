import { expect, it } from "vitest";
import { effectOf } from "../src/lib/format";
import { rangeOf, wide } from "../src/lib/range";
import type { Place } from "../src/core";

it("keeps the scale from 0 to 1 for numbers that belong there", () => {
  expect(rangeOf([0.2, 0.9, -0.04])).toEqual([0, 1]);
  expect(rangeOf([])).toEqual([0, 1]);
});

it("cuts no number at 1, nor below 0", () => {
  expect(rangeOf([0.5, 7.2])).toEqual([0, 7.2]);
  expect(rangeOf([-3, 0.5])).toEqual([-3, 0.5]);
  expect(wide([2.5, 3])).toEqual([0, 3]);
  expect(wide([0])).toEqual([0, 1]);
});

it("shows the edit that does most beyond its control", () => {
  const place = { erase: 0.02, random_erase: 0.01, displaced: null, shift: 0.6, chance: 0.05, random_direction: 0.1 } as Partial<Place> as Place;
  expect(effectOf(place)).toEqual({ edit: "shift", value: 0.6, control: 0.1, low: undefined, high: undefined });
  expect(effectOf({ ...place, shift: 0.11 })?.edit).toBe("erase");
  expect(effectOf({ ...place, erase: null, shift: null })).toBeNull();
});
