import { expect, it } from "vitest";
import { distances, movedMost, nearestRows, spread, trailsOf } from "../src/core/rows";
import type { Frame } from "../src/core/scene";

const frame = (values: number[], unit: number, radius: number): Frame => ({ data: Int16Array.from(values), unit, radius });
const a = frame([0, 0, 2, 0, 4, 0, 10, 0], 0.5, 1);
const b = frame([0, 0, 8, 0, 16, 4, 40, 0], 0.125, 2);

it("trails lead through the frames, in their own units or in true scale", () => {
  const [trail] = trailsOf([a, b], 2, [2], (row) => 10 * row);
  expect(trail!.color).toBe(20);
  expect([...trail!.points]).toEqual([2, 0, 2, 0.5]);
  expect([...trailsOf([a, b], 2, [2], () => 0, 2)[0]!.points]).toEqual([1, 0, 2, 0.5]);
});

it("rows that moved most come first; units are taken into account", () => {
  expect([...distances(a, b, 2)]).toEqual([0, 0, 0.5, 0]);
  expect(movedMost(a, b, 2, 2)).toEqual([2, 0]);
  expect(movedMost(a, b, 2, 99)).toHaveLength(4);
  expect(movedMost(a, b, 2, 2, new Set([3, 1, 2]))).toEqual([2, 1]);
});

it("neighbors leave out the row itself", () => {
  expect(nearestRows(a, 2, 0, 2)).toEqual([1, 2]);
  expect(nearestRows(a, 2, 3, 99)).toEqual([2, 1, 0]);
  expect(nearestRows(frame([1, 1], 1, 1), 2, 0, 3)).toEqual([]);
});

it("items are taken evenly, the first and the last among them", () => {
  const items = Array.from({ length: 30 }, (_, i) => i);
  const some = spread(items, 8);
  expect(some).toHaveLength(8);
  expect([some[0], some[7]]).toEqual([0, 29]);
  expect(some).toEqual([...new Set(some)].sort((a, b) => a - b));
  expect(spread(items.slice(0, 3), 8)).toEqual([0, 1, 2]);
  expect(spread([], 8)).toEqual([]);
  expect(spread(items, 1)).toEqual([0]);
});
