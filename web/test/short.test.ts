import { expect, it } from "vitest";
import { brief, cut, shortened } from "../src/lib/short";

it("leaves short text as it is", () => {
  expect(shortened({ a: ["x", 1, null], "ключ": { b: "y" } })).toEqual({ a: ["x", 1, null], "ключ": { b: "y" } });
});

it("cuts long text wherever it stands, and tells two apart", () => {
  const [a, b] = shortened({ names: ["a".repeat(1e6), `${"a".repeat(1e6 - 1)}b`] }).names as [string, string];
  expect(a.length).toBeLessThan(1100);
  expect(a).not.toBe(b);
  expect(brief("a".repeat(500)).length).toBeLessThan(150);
});

it("cuts no character in half", () => {
  expect(cut(`${"a".repeat(9)}😀😀`, 10)).toMatch(/^a{9}…/);
});
