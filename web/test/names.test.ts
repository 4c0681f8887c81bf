import { describe, expect, it } from "vitest";
import type { RunRow } from "../src/core";
import { homeOf } from "../src/lib/names";

const row = (id: string, name: string, folder: string): RunRow => ({ id, name, folder }) as RunRow;
const ALL = [row("a", "own", "/runs/first/own"), row("b", "own", "/runs/second/own/"), row("c", "shared", "/runs/first/shared"), row("d", "own", "")];

describe("the home of a run", () => {
  it("is told where the name is not enough", () => {
    expect(ALL.map((one) => homeOf(one.id, ALL))).toEqual(["first/own", "second/own", "", ""]);
    expect(homeOf("gone", ALL)).toBe("");
  });
});
