/** Text of unknown origin may have any length; a page that holds megabytes of it cannot be used. */
import type { Change, Source } from "../core";

const LONGEST = 1000;
const BRIEF = 120;

/** The beginning of a text, with a mark that tells two long ones apart. */
export function cut(text: string, most: number): string {
  if (text.length <= most) return text;
  let hash = 0;
  for (let i = 0; i < text.length; i++) hash = (Math.imul(31, hash) + text.charCodeAt(i)) | 0;
  // not between the halves of a character
  const end = /[\ud800-\udbff]/.test(text[most - 1]!) ? most - 1 : most;
  return `${text.slice(0, end)}… (${text.length}, ${(hash >>> 0).toString(36)})`;
}

/** A name in a heading or a list. */
export const brief = (text: string): string => cut(text, BRIEF);

/** The same value with every text in it cut. */
export function shortened<T>(value: T): T {
  if (typeof value === "string") return cut(value, LONGEST) as T;
  if (Array.isArray(value)) return (typeof value[0] === "number" ? value : value.map(shortened)) as T;
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [cut(key, LONGEST), shortened(one as unknown)])) as T;
}

/** A source whose texts are short enough to be shown; tables stay whole, since they are saved too. */
export class ShortSource implements Source {
  constructor(private readonly whole: Source) {}

  get live(): boolean {
    return this.whole.live;
  }

  async json<T>(path: string): Promise<T> {
    const got = await this.whole.json<T>(path);
    return path.includes("/tables/") ? got : shortened(got);
  }

  bytes(path: string, signal?: AbortSignal): Promise<ArrayBuffer> {
    return this.whole.bytes(path, signal);
  }

  events(on: (change: Change) => void): () => void {
    return this.whole.events(on);
  }
}
