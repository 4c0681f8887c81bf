import { describe, expect, it, vi } from "vitest";
import { seeded } from "../src/core/random";
import { MOST_SELECTED, changed, decodeState, defaultState, encodeState, type ViewState } from "../src/core/state";
import { Store } from "../src/core/store";

const WORDS = ["a", "x,y", "50%", "a=b&c", "#", "日本語", "<script>", "é ü", "'\"", "+", "😀", "__proto__"];

function anyState(seed: number): ViewState {
  const random = seeded(seed);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
  const flag = () => random() < 0.5;
  const word = () => pick(WORDS) + pick(WORDS);
  return {
    screen: pick(["runs", "run", "compare", "story", "evidence"]),
    run: word(), other: word(), step: Math.floor(random() * 1e6) - 1, stream: word(), position: word(),
    metric: word(), axis: pick(["linear", "log", "tokens", "seconds"]),
    focus: Array.from({ length: Math.floor(random() * 6) }, word),
    basis: word(), color: word(),
    select: [...new Set(Array.from({ length: Math.floor(random() * 40) }, () => Math.floor(random() * 60)))].sort(
      (a, b) => a - b,
    ),
    theme: pick(["auto", "light", "dark"]), lang: word(), dose: random() < 0.2 ? 1e-7 : 4 * random() - 2,
    pull: flag() ? [word(), word()] : null, erased: flag(), nulls: flag(), tour: flag(), trails: flag(),
    trueScale: flag(), multiples: pick(["none", "streams", "steps"]),
    camera: flag() ? [0.05 + 9 * random(), Number((2 * random() - 1).toFixed(4)), -1e-7] : null, card: Math.floor(random() * 5) - 1,
  };
}

describe("a view in the URL", () => {
  it("comes back as it was", () => {
    for (let seed = 0; seed < 500; seed++) {
      const state = anyState(seed);
      expect(decodeState(encodeState(state))).toEqual(state);
    }
  });
  it("leaves out what is at its default", () => {
    expect(encodeState(defaultState())).toBe("");
    expect(encodeState({ ...defaultState(), screen: "run", run: "a b", select: [1, 2, 3, 9] })).toBe(
      "#screen=run&run=a%20b&select=1-3,9",
    );
  });
  it("loses its camera with its plane, and its rows with its run", () => {
    const state: ViewState = { ...defaultState(), run: "a", stream: "x", focus: ["p"], select: [3], camera: [2, 0.5, -1] };
    expect(changed(state, { step: 4, select: [1], stream: "x", focus: ["p"] }).camera).toEqual([2, 0.5, -1]);
    for (const patch of [{ stream: "y" }, { position: "y" }, { basis: "variance" }, { color: "y" }, { focus: ["q"] }])
      expect(changed(state, patch)).toEqual({ ...state, ...patch, camera: null });
    expect(changed(state, { run: "b" })).toEqual({ ...state, run: "b", camera: null, select: [] });
    expect(changed(state, { stream: "y", camera: [1, 0, 0] }).camera).toEqual([1, 0, 0]);
    for (const bad of ["0,0,0", "-1,0,0", "1,0", "1,0,0,0", "1,NaN,0", "a", "1e999,0,0"])
      expect(decodeState(`#camera=${bad}`).camera).toBeNull();
  });
  it("turns bad values into defaults and keeps the good ones", () => {
    const hashes = [
      "#screen=evil&step=-5&dose=NaN&axis=&theme=red&card=1.5&erased=yes&pull=a&focus=a,,b&select=9-1",
      "#run=%E0%A4%A&select=0-9999999999&dose=1e999&step=99999999999999&__proto__=x&constructor=y",
      "####&&&===&=&select=-1&select=1,1&lang=" + "x".repeat(501),
      "#step=0x10&dose=Infinity&step=1e3&focus=" + "a,".repeat(100),
    ];
    for (const hash of hashes) expect(decodeState(hash)).toEqual(defaultState());
    expect(decodeState("#screen=evil&step=7")).toEqual({ ...defaultState(), step: 7 });
    expect(({} as { x?: string }).x).toBeUndefined();
  });
  it("survives noise", () => {
    const random = seeded(1);
    for (let i = 0; i < 2000; i++) {
      const noise = Array.from({ length: 60 }, () => String.fromCharCode(random() * 128)).join("");
      for (const key of ["select", "focus", "dose", "run"]) {
        const state = decodeState(`#${key}=${noise}`);
        expect(decodeState(encodeState(state))).toEqual(state);
      }
    }
  });
  it("writes what cannot be in a URL, and bounds the selection", () => {
    expect(decodeState(encodeState({ ...defaultState(), run: "a\ud800" })).run).toBe("a\ufffd");
    const many = Array.from({ length: 19000 }, (_, i) => 2 * i);
    const read = decodeState(encodeState({ ...defaultState(), select: many })).select;
    expect(read).toEqual(many.slice(0, MOST_SELECTED));
  });
});

function bar(hash = "") {
  const entries = [hash];
  const listeners = new Set<() => void>();
  return {
    entries,
    go: (to: string) => {
      entries.push(to);
      listeners.forEach((one) => one());
    },
    location: {
      get hash() {
        return entries.at(-1)!;
      },
      pathname: "/p",
      search: "",
    },
    history: {
      pushState: (_: unknown, __: string, url: string) => void entries.push(url),
      replaceState: (_: unknown, __: string, url: string) => void (entries[entries.length - 1] = url),
    },
    addEventListener: (_: string, one: () => void) => void listeners.add(one),
    removeEventListener: (_: string, one: () => void) => void listeners.delete(one),
  };
}

describe("the store", () => {
  it("reads the URL, writes it, and tells", () => {
    const url = bar("#step=3");
    const store = new Store(url);
    const steps: number[] = [];
    const stop = store.subscribe((state) => steps.push(state.step));
    store.set({ step: 4 });
    url.go("#step=9");
    stop();
    store.set({ step: 1 });
    expect(steps).toEqual([3, 4, 9]);
    expect(url.entries).toEqual(["#step=3", "#step=4", "#step=9", "#step=1"]);
  });
  it("scrubs with few changes of the URL and no entry for the back button", () => {
    vi.useFakeTimers();
    const url = bar();
    const replace = vi.spyOn(url.history, "replaceState");
    const store = new Store(url);
    for (let step = 0; step < 100; step++) store.set({ step }, { replace: true });
    vi.runAllTimers();
    expect(replace).toHaveBeenCalledTimes(1);
    expect(url.entries).toEqual(["#step=99"]);
    store.set({ step: 5 }, { replace: true });
    store.set({ run: "a" });
    expect(url.entries).toEqual(["#step=5", "#run=a&step=5"]);
    vi.useRealTimers();
  });
  it("follows the back button while a change waits", () => {
    vi.useFakeTimers();
    const url = bar();
    const store = new Store(url);
    store.set({ step: 5 }, { replace: true });
    url.go("#run=b");
    vi.runAllTimers();
    expect(store.state.run).toBe("b");
    expect(url.entries.at(-1)).toBe("#run=b");
    store.close();
    vi.useRealTimers();
  });
});
