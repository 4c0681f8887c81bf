import { expect, it } from "vitest";
import { baseOf, composition, distances, movedMost, movesOf, nearestRows, spells, spread, standIn, trailsOf } from "../src/core/rows";
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

it("moves are told step by step, beside the median of all rows", () => {
  const c = frame([0, 0, 8, 0, 16, 4, 40, 16], 0.125, 2);
  expect(movesOf([a, b, c], 2, 2)).toEqual({ own: [0.5, 0], median: [0, 0] });
  expect(movesOf([a, b, c], 2, 3).own).toEqual([0, 2]);
  expect(movesOf([frame([0, 3], 1, 1), frame([4, 9], 1, 1)], 1, 0)).toEqual({ own: [4], median: [5] });
  expect(movesOf([a], 2, 0)).toEqual({ own: [], median: [] });
});

it("the labels of chosen rows stand beside what a blind choice gives", () => {
  const codes = [0, 0, 0, 1, 1, 2, -1, 2];
  expect(composition([3, 4, 0, 6], codes, [0, 1, 2, 3, 4, 5, 6, 7])).toEqual([
    { code: 1, chosen: 2, all: 2, chance: 1 },
    { code: -1, chosen: 1, all: 1, chance: 0.5 },
    { code: 0, chosen: 1, all: 3, chance: 1.5 },
  ]);
  expect(composition([], codes, [0, 1])).toEqual([]);
});

it("equal answers of neighboring steps are one spell, and one that comes back is another", () => {
  const said = (step: number, answer: string | null, correct: 1 | 0 | null) => ({ step, answer, correct });
  const all = [said(0, "a", 0), said(2, "a", 0), said(4, "b", 1), said(8, "a", 0), said(9, null, null)];
  expect(spells(all)).toEqual([
    { from: 0, to: 2, answer: "a", correct: 0 },
    { from: 4, to: 4, answer: "b", correct: 1 },
    { from: 8, to: 8, answer: "a", correct: 0 },
    { from: 9, to: 9, answer: null, correct: null },
  ]);
  expect(spells([])).toEqual([]);
});

it("chance is taken over the rows that could have been selected", () => {
  const [index, codes] = [[4, 5, 6, 7, 8, 9], [0, 0, 1, 2, 2, 2]];
  expect(baseOf([4, 6], index, codes, [0, 1])).toEqual({ rows: [4, 5, 6], focused: true });
  expect(composition([4, 6], [9, 9, 9, 9, 0, 0, 1, 2, 2, 2], [4, 5, 6]).map((one) => one.chance)).toEqual([4 / 3, 2 / 3]);
  expect(baseOf([4, 7], index, codes, [0, 1])).toEqual({ rows: index, focused: false });
  expect(baseOf([4], index, codes, [0, 1, 2])).toEqual({ rows: index, focused: false });
});

it("a row that is not in the cloud is stood for by one of the same instruction", () => {
  const instruction = ["do a", "do a", "do b", null, "do c"];
  expect(standIn(1, [0, 2], instruction)).toBe(0);
  expect(standIn(4, [0, 2], instruction)).toBe(-1);
  expect(standIn(3, [0, 2, 3], instruction)).toBe(-1);
  expect(standIn(1, [0, 2], null)).toBe(-1);
});
