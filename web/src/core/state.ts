/**
 * What is looked at, as one flat value, and its writing as a URL hash. A hash
 * comes from anybody: it is bounded, only known keys are read, and a bad value
 * becomes the default.
 */

import type { Framing } from "./camera";

/** Where and when: the one cursor that all views share. A step of -1 is the last one. */
export type Cursor = { step: number; stream: string; position: string };

/** Everything that a link to a view keeps. Empty text means: the run's (or the browser's) own choice. */
export interface ViewState extends Cursor {
  screen: "runs" | "run" | "compare" | "story" | "evidence";
  run: string;
  other: string;
  metric: string;
  axis: "linear" | "log" | "tokens" | "seconds";
  /** Values of the label whose centroids span the plane. */
  focus: string[];
  basis: string;
  color: string;
  /** Row numbers, rising. */
  select: number[];
  theme: "auto" | "light" | "dark";
  lang: string;
  /** How far a centroid is pulled: 1 is all the way. */
  dose: number;
  /** From which task to which. */
  pull: [string, string] | null;
  erased: boolean;
  nulls: boolean;
  tour: boolean;
  trails: boolean;
  trueScale: boolean;
  /** How large and where the cloud is drawn (`framed`); null is so that all points are seen. */
  camera: Framing | null;
  /** Small pictures below the cloud: of every layer, or of several steps. */
  multiples: "none" | "streams" | "steps";
  /** Number of the card shown; -1 is none. */
  card: number;
}

const LONGEST_TEXT = 500;
const MOST_FOCUS = 64;
/** A link keeps this many selected rows: as many as a cloud shows by default. */
export const MOST_SELECTED = 5000;
const LONGEST_HASH = 60_000;
const LARGEST = 2 ** 40;

/** The view that an empty hash means. */
export function defaultState(): ViewState {
  return {
    screen: "runs", run: "", other: "", step: -1, stream: "", position: "",
    metric: "", axis: "linear", focus: [], basis: "tasks", color: "", select: [],
    theme: "auto", lang: "", dose: 0, pull: null, erased: false, nulls: false,
    tour: false, trails: false, trueScale: false, camera: null, multiples: "none", card: -1,
  };
}

/** How one kind of value is written and read; `read` gives undefined for a bad one. */
interface Codec<T> {
  write(value: T): string;
  read(text: string): T | undefined;
}

// A lone surrogate cannot be written in a URL; encodeURIComponent would throw.
const LONE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
const escape = (text: string): string => encodeURIComponent(text.replace(LONE, "\ufffd"));

function unescape(text: string): string | undefined {
  try {
    const plain = decodeURIComponent(text);
    return plain.length <= LONGEST_TEXT ? plain : undefined;
  } catch {
    return undefined;
  }
}

const text: Codec<string> = { write: escape, read: unescape };

const oneOf = <T extends string>(...allowed: T[]): Codec<T> => ({
  write: (value) => value,
  read: (written) => allowed.find((one) => one === written),
});

const flag: Codec<boolean> = {
  write: (value) => (value ? "1" : "0"),
  read: (written) => (written === "1" ? true : written === "0" ? false : undefined),
};

const whole: Codec<number> = {
  write: String,
  read: (written) => {
    const value = /^(-1|\d{1,13})$/.test(written) ? Number(written) : NaN;
    return value <= LARGEST ? value : undefined;
  },
};

const real: Codec<number> = {
  write: String,
  read: (written) => {
    const value = /^-?\d{1,9}(\.\d{1,20})?(e-?\d{1,3})?$/.test(written) ? Number(written) : NaN;
    return Math.abs(value) <= 1000 ? value : undefined;
  },
};

const texts: Codec<string[]> = {
  write: (value) => value.map(escape).join(","),
  read: (written) => {
    const items = written === "" ? [] : written.split(",", MOST_FOCUS + 1).map(unescape);
    const good = items.filter((one) => one !== undefined && one !== "") as string[];
    return items.length <= MOST_FOCUS && good.length === items.length ? good : undefined;
  },
};

const pair: Codec<[string, string] | null> = {
  write: (value) => (value === null ? "" : texts.write(value)),
  read: (written) => {
    const items = texts.read(written);
    return items?.length === 2 ? [items[0]!, items[1]!] : undefined;
  },
};

const framingCodec: Codec<Framing | null> = {
  write: (value) => (value === null ? "" : value.map(real.write).join(",")),
  read: (written) => {
    const [zoom, x, y, ...more] = written.split(",", 4).map(real.read);
    return zoom !== undefined && zoom > 0 && x !== undefined && y !== undefined && !more.length ? [zoom, x, y] : undefined;
  },
};

/** Rows as rising ranges, "3-7,12": neighbors are often chosen together. */
const rows: Codec<number[]> = {
  write: (value) => {
    const sorted = [...new Set(value)].sort((a, b) => a - b).slice(0, MOST_SELECTED);
    const ranges: string[] = [];
    for (let i = 0, j = 0; i < sorted.length; i = j + 1) {
      for (j = i; sorted[j + 1] === sorted[j]! + 1; ) j++;
      ranges.push(i === j ? `${sorted[i]}` : `${sorted[i]}-${sorted[j]}`);
    }
    return ranges.join(",");
  },
  read: (written) => {
    const found: number[] = [];
    let last = -1;
    for (const range of written.split(",", MOST_SELECTED + 1)) {
      const ends = /^(\d{1,10})(?:-(\d{1,10}))?$/.exec(range);
      if (!ends) return undefined;
      const from = Number(ends[1]);
      const to = Number(ends[2] ?? ends[1]);
      // The bound is asked before the range is filled: "0-9999999999" must cost nothing.
      if (from <= last || to < from || found.length + to - from + 1 > MOST_SELECTED) return undefined;
      for (let row = from; row <= to; row++) found.push(row);
      last = to;
    }
    return found;
  },
};

const CODECS: { [K in keyof ViewState]: Codec<ViewState[K]> } = {
  screen: oneOf("runs", "run", "compare", "story", "evidence"),
  run: text, other: text, step: whole, stream: text, position: text,
  metric: text, axis: oneOf("linear", "log", "tokens", "seconds"),
  focus: texts, basis: text, color: text, select: rows,
  theme: oneOf("auto", "light", "dark"), lang: text, dose: real, pull: pair,
  erased: flag, nulls: flag, tour: flag, trails: flag, trueScale: flag, camera: framingCodec,
  multiples: oneOf("none", "streams", "steps"), card: whole,
};

const KEYS = Object.keys(CODECS) as (keyof ViewState)[];

/** What the plane on screen depends on: with another one, a camera would show another part. */
const PLANE: readonly (keyof ViewState)[] = ["run", "stream", "position", "basis", "color", "focus"];

/** A view with some fields changed. A camera belongs to its plane, and row numbers to their run. */
export function changed(state: ViewState, patch: Partial<ViewState>): ViewState {
  const differs = (key: keyof ViewState): boolean =>
    key in patch && CODECS[key].write(patch[key] as never) !== CODECS[key].write(state[key] as never);
  const camera = PLANE.some(differs) ? null : state.camera;
  const select = differs("run") ? [] : state.select;
  return { ...state, camera, select, ...patch };
}

/** Writes a view as a URL hash with its `#`; what is at its default is left out. */
export function encodeState(state: ViewState): string {
  const plain = defaultState();
  const parts: string[] = [];
  const put = <K extends keyof ViewState>(key: K): void => {
    const codec = CODECS[key];
    const written = codec.write(state[key]);
    if (written === codec.write(plain[key])) return;
    // What would not be read back is not written, or the link would differ from the view.
    if (codec.read(written) !== undefined) parts.push(`${key}=${written}`);
  };
  KEYS.forEach((key) => put(key));
  return parts.length ? `#${parts.join("&")}` : "";
}

/** Reads a URL hash, with or without its `#`. Never throws. */
export function decodeState(hash: string): ViewState {
  const state = defaultState();
  if (hash.length > LONGEST_HASH) return state;
  const read = <K extends keyof ViewState>(key: K, written: string): void => {
    const value = CODECS[key].read(written);
    if (value !== undefined) state[key] = value;
  };
  for (const entry of hash.replace(/^#/, "").split("&")) {
    const at = entry.indexOf("=");
    const key = KEYS.find((one) => one === entry.slice(0, at));
    if (key) read(key, entry.slice(at + 1));
  }
  return state;
}
