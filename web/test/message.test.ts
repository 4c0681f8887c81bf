/** A notebook's answers are read as parts, and its faults are said. */
import { expect, test } from "vitest";
import { boxedBar, MessageSource, Store } from "../src/core";

const view = (...bytes: number[]): DataView => new DataView(Uint8Array.from([9, 9, ...bytes, 9]).buffer, 2, bytes.length);

test("a part is copied out of the message that carries it", async () => {
  const source = new MessageSource(async () => ({ fault: "", data: view(1, 0, 255, 255) }));
  expect([...new Int16Array(await source.bytes("a.i16"))]).toEqual([1, -1]);
});

test("JSON is read as UTF-8", async () => {
  const data = view(...new TextEncoder().encode('{"a":"é"}'));
  expect(await new MessageSource(async () => ({ fault: "", data })).json("a.json")).toEqual({ a: "é" });
});

test("a fault is an error that says it, and so is an answer without data", async () => {
  await expect(new MessageSource(async () => ({ fault: "it is gone", data: null })).json("a")).rejects.toThrow("it is gone");
  await expect(new MessageSource(async () => ({ fault: "", data: null })).bytes("a")).rejects.toThrow("nothing came");
});

test("a boxed bar holds the view and leaves the address of the page alone", () => {
  const bar = boxedBar();
  const store = new Store(bar);
  store.set({ run: "a" });
  expect(bar.location.hash).toContain("a");
  expect(new Store(bar).state.run).toBe("a");
});
