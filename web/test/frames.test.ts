import { describe, expect, it } from "vitest";
import { FrameCache, neighbors } from "../src/core/frames";
import type { Source } from "../src/core/source";

/** A source whose answers wait to be let go. */
class Slow implements Source {
  readonly live = true;
  readonly asked: string[] = [];
  private readonly waiting = new Map<string, { give(): void; fail(why: unknown): void }>();
  constructor(private readonly numbers = 4) {}
  json = async (): Promise<never> => { throw new Error("frames only"); };
  link = () => null;
  events = () => () => undefined;
  bytes(path: string, signal?: AbortSignal): Promise<ArrayBuffer> {
    this.asked.push(path);
    return new Promise((give, fail) => {
      this.waiting.set(path, { give: () => give(new Int16Array(this.numbers).fill(path.charCodeAt(0)).buffer), fail });
      signal?.addEventListener("abort", () => fail(signal.reason));
    });
  }
  give = (path: string) => this.waiting.get(path)!.give();
  fail = (path: string) => this.waiting.get(path)!.fail(new Error("lost"));
}
const settle = () => new Promise((done) => setTimeout(done, 0));

describe("frames", () => {
  it("are asked for once and kept", async () => {
    const source = new Slow();
    const cache = new FrameCache(source);
    const both = [cache.get("a"), cache.get("a")];
    expect(cache.peek("a")).toBeUndefined();
    source.give("a");
    const [one, two] = await Promise.all(both);
    expect(one).toBe(two);
    expect([...one!]).toEqual([97, 97, 97, 97]);
    expect(await cache.get("a")).toBe(one);
    expect(source.asked).toEqual(["a"]);
  });
  it("stay within the bound, the least recently used go first", async () => {
    const source = new Slow();
    const cache = new FrameCache(source, 20);
    for (const path of ["a", "b"]) {
      const got = cache.get(path);
      source.give(path);
      await got;
    }
    cache.peek("a");
    const got = cache.get("c");
    source.give("c");
    await got;
    expect([..."abc"].map((path) => cache.peek(path) !== undefined)).toEqual([true, false, true]);
    expect(cache.bytes).toBe(16);
  });
  it("larger than the bound can still be had", async () => {
    const source = new Slow(100);
    const cache = new FrameCache(source, 20);
    const got = cache.get("a");
    source.give("a");
    expect((await got).length).toBe(100);
  });
  it("ahead are few at a time; stale ones are given up, wanted ones are not", async () => {
    const source = new Slow();
    const cache = new FrameCache(source);
    const wanted = cache.get("a");
    cache.prefetch(["b", "c", "d", "e"]);
    expect(source.asked).toEqual(["a", "b", "c"]);
    cache.prefetch(["c", "x"]);
    await settle();
    expect(source.asked).toEqual(["a", "b", "c", "x"]);
    expect(cache.peek("b")).toBeUndefined();
    for (const path of ["a", "c", "x"]) source.give(path);
    expect((await wanted)[0]).toBe(97);
    await settle();
    expect([..."abcdex"].map((path) => cache.peek(path) !== undefined)).toEqual([true, false, true, false, false, true]);
  });
  it("that failed are asked for again", async () => {
    const source = new Slow();
    const cache = new FrameCache(source);
    const lost = cache.get("a");
    source.fail("a");
    await expect(lost).rejects.toThrow("lost");
    const got = cache.get("a");
    source.give("a");
    expect((await got).length).toBe(4);
  });
  it("that were cleared do not come back late", async () => {
    const source = new Slow();
    const cache = new FrameCache(source);
    const old = cache.get("a");
    cache.clear();
    await expect(old).rejects.toThrow();
    const got = cache.get("a");
    source.give("a");
    await got;
    expect(source.asked).toEqual(["a", "a"]);
    expect(cache.bytes).toBe(8);
  });
  it("a given-up one that is wanted again is asked for anew", async () => {
    const source = new Slow();
    const cache = new FrameCache(source);
    cache.prefetch(["a"]);
    cache.prefetch([]);
    const got = cache.get("a");
    await settle();
    source.give("a");
    expect((await got).length).toBe(4);
  });
});

it("neighbors look ahead in the direction of travel", () => {
  const steps = [0, 1, 2, 3, 4, 5, 6];
  expect(neighbors(steps, 3, 1)).toEqual([4, 5, 6, 2, 1]);
  expect(neighbors(steps, 1, -1)).toEqual([0, 2, 3]);
});
