import { describe, expect, it } from "vitest";
import { makeAxis, nearestIndex, numberText, roundTicks, timeText } from "../src/core/axis";

const steps = [0, 1, 2, 5, 10, 100, 1000, 3000];
const times = {
  steps,
  tokens: steps.map((step) => 512 * step),
  seconds: [0, null, 4, 9, 21, null, 2000, 6000],
};
const KINDS = ["linear", "log", "tokens", "seconds"] as const;

describe("an axis", () => {
  it("leads to pixels and back, and to the nearest recorded step", () => {
    for (const kind of KINDS) {
      const axis = makeAxis(kind, times, 50, 850);
      expect(axis.kind).toBe(kind);
      expect(axis.stepPixel(0)).toBeCloseTo(50);
      expect(axis.stepPixel(3000)).toBeCloseTo(850);
      steps.forEach((step, i) => {
        expect(axis.nearest(axis.stepPixel(step))).toBe(i);
        expect(axis.value(axis.pixel(axis.values[i]!))).toBeCloseTo(axis.values[i]!, 6);
      });
      expect(axis.nearest(-1e6)).toBe(0);
      expect(axis.nearest(1e6)).toBe(steps.length - 1);
    }
  });
  it("gives early steps room when it is logarithmic, step 0 included", () => {
    const axis = makeAxis("log", times, 0, 800);
    expect(axis.stepPixel(1)).toBeGreaterThan(60);
    expect(axis.stepPixel(10)).toBeLessThan(400);
    expect(makeAxis("linear", times, 0, 800).stepPixel(10)).toBeLessThan(3);
  });
  it("fills times that were not measured, and goes back to steps where there are none", () => {
    const axis = makeAxis("seconds", times, 0, 600);
    expect(axis.values[1]).toBe(2);
    expect(axis.stepPixel(100)).toBeCloseTo(axis.pixel(21 + (90 / 990) * 1979));
    for (const seconds of [null, steps.map(() => null), [null, 3, ...Array<null>(6).fill(null)]])
      expect(makeAxis("seconds", { ...times, seconds }, 0, 600).kind).toBe("linear");
  });
  it("bears one step, and none", () => {
    const one = makeAxis("log", { steps: [7], tokens: null, seconds: null }, 0, 100);
    expect([one.stepPixel(7), one.nearest(3), one.value(3)]).toEqual([50, 0, 7]);
    expect(one.ticks().map((tick) => tick.text)).toEqual(["7"]);
    expect(makeAxis("linear", { steps: [], tokens: null, seconds: null }, 0, 100).nearest(3)).toBe(-1);
  });
  it("never runs backward where a clock did", () => {
    const axis = makeAxis("seconds", { steps: [0, 1, 2], tokens: null, seconds: [0, 9, 5] }, 0, 10);
    expect(axis.values).toEqual([0, 9, 9]);
  });
});

describe("marks", () => {
  it("are round and inside", () => {
    expect(roundTicks(0, 3000)).toEqual([0, 500, 1000, 1500, 2000, 2500, 3000]);
    expect(roundTicks(0, 0.7, 7)).toEqual([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]);
    for (const kind of KINDS) {
      const ticks = makeAxis(kind, times, 0, 600).ticks(6);
      expect(ticks.length).toBeGreaterThanOrEqual(3);
      expect(ticks.length).toBeLessThanOrEqual(12);
      expect(new Set(ticks.map((tick) => tick.text)).size).toBe(ticks.length);
      for (const tick of ticks) expect(tick.at >= -1e-6 && tick.at <= 600.001).toBe(true);
    }
  });
  it("of a logarithmic axis are zero and powers of ten, and round numbers in a short one", () => {
    expect(makeAxis("log", times, 0, 600).ticks().map((tick) => tick.text)).toEqual(["0", "1", "10", "100", "1k"]);
    const short = makeAxis("log", { steps: [400, 450, 480], tokens: null, seconds: null }, 0, 600).ticks();
    expect(short.length).toBeGreaterThan(2);
  });
  it("of time are spans that people count in", () => {
    const axis = (last: number) =>
      makeAxis("seconds", { steps: [0, 1], tokens: null, seconds: [0, last] }, 0, 1).ticks().map((tick) => tick.text);
    expect(axis(60)).toEqual(["0s", "10s", "20s", "30s", "40s", "50s", "1m"]);
    expect(axis(5400)).toEqual(["0s", "15m", "30m", "45m", "1h", "1h 15m", "1h 30m"]);
    expect(axis(2)).toEqual(["0s", "0.5s", "1s", "1.5s", "2s"]);
    expect(axis(86400 * 12)).toEqual(["0s", "2d", "4d", "6d", "8d", "10d", "12d"]);
  });
  it("are short", () => {
    expect([0, 0.25, 950, 1200, 3e6, 2.5e9].map(numberText)).toEqual(["0", "0.25", "950", "1.2k", "3M", "2.5B"]);
    expect([0, 59.4, 119.6, 3661, 90000].map(timeText)).toEqual(["0s", "59.4s", "2m", "1h 1m", "1d 1h"]);
  });
  it("nearest takes the first of equals", () => expect(nearestIndex([0, 2, 4], 1)).toBe(0));
});
