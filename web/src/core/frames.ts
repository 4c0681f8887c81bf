/** Frames of a cloud, fetched one by one, kept within a bound. */
import type { Source } from "./source";

/** Frames fetched ahead at a time: a browser opens six connections to a server, and the events hold one. */
const AHEAD = 3;

interface Pending {
  promise: Promise<Int16Array<ArrayBuffer>>;
  stop: AbortController;
  /** Somebody waits for it: it is not given up as stale. */
  wanted: boolean;
}

/** Fetches frames by path; the least recently used ones are forgotten. */
export class FrameCache {
  private readonly kept = new Map<string, Int16Array<ArrayBuffer>>();
  private readonly pending = new Map<string, Pending>();
  private queue: string[] = [];
  private used = 0;

  /** @param limit Most bytes kept, the frame asked for last always included. */
  constructor(
    private readonly source: Source,
    private readonly limit = 256 * 2 ** 20,
  ) {}

  /** Bytes kept now. */
  get bytes(): number {
    return this.used;
  }

  /** The frame if it is here already. */
  peek(path: string): Int16Array<ArrayBuffer> | undefined {
    const data = this.kept.get(path);
    if (data) this.keep(path, data);
    return data;
  }

  /** The frame; one request for all who ask. Rejects with the source's error, and asks again the next time. */
  async get(path: string): Promise<Int16Array<ArrayBuffer>> {
    const data = this.peek(path);
    if (data) return data;
    const pending = this.pending.get(path) ?? this.fetch(path);
    pending.wanted = true;
    return pending.promise;
  }

  /**
   * Fetches what will be wanted next, the most likely first; what was to be
   * fetched ahead before and is not in the list is given up.
   */
  prefetch(paths: readonly string[]): void {
    const next = new Set(paths);
    for (const [path, { wanted, stop }] of this.pending) {
      if (wanted || next.has(path)) continue;
      stop.abort();
      // At once: who asks for it now must not be given the request that was stopped.
      this.pending.delete(path);
    }
    this.queue = paths.filter((path) => !this.kept.has(path) && !this.pending.has(path));
    this.advance();
  }

  /** Gives up every request and forgets all frames (another run, or a run that was rewritten). */
  clear(): void {
    this.queue = [];
    for (const { stop } of this.pending.values()) stop.abort();
    this.pending.clear();
    this.kept.clear();
    this.used = 0;
  }

  private advance(): void {
    while (this.queue.length && this.pending.size < AHEAD) {
      const path = this.queue.shift()!;
      if (!this.kept.has(path) && !this.pending.has(path)) this.fetch(path).promise.catch(() => undefined);
    }
  }

  private fetch(path: string): Pending {
    const stop = new AbortController();
    const pending: Pending = { stop, wanted: false, promise: this.read(path, stop.signal) };
    this.pending.set(path, pending);
    const done = (): void => {
      if (this.pending.get(path) === pending) this.pending.delete(path);
      this.advance();
    };
    pending.promise.then(done, done);
    return pending;
  }

  private async read(path: string, signal: AbortSignal): Promise<Int16Array<ArrayBuffer>> {
    const buffer = await this.source.bytes(path, signal);
    // A source that cannot be stopped (a report) may answer after all was cleared.
    signal.throwIfAborted();
    const data = wholeNumbers(buffer);
    this.keep(path, data);
    return data;
  }

  private keep(path: string, data: Int16Array<ArrayBuffer>): void {
    if (this.kept.delete(path)) this.used -= data.byteLength;
    this.kept.set(path, data);
    this.used += data.byteLength;
    for (const [old, one] of this.kept) {
      if (this.used <= this.limit || old === path) break;
      this.kept.delete(old);
      this.used -= one.byteLength;
    }
  }
}

/** Little-endian int16, whatever the machine's own order. */
function wholeNumbers(buffer: ArrayBuffer): Int16Array<ArrayBuffer> {
  if (new Uint8Array(Uint16Array.of(1).buffer)[0] === 1) return new Int16Array(buffer);
  const view = new DataView(buffer);
  return Int16Array.from({ length: buffer.byteLength / 2 }, (_, i) => view.getInt16(2 * i, true));
}

/** What is likely wanted next at place `at`: ahead in the direction of travel first, then behind. */
export function neighbors<T>(items: readonly T[], at: number, direction: 1 | -1, reach = 3): T[] {
  const ways = Array.from({ length: reach }, (_, i) => direction * (i + 1));
  return [...ways, ...ways.slice(0, Math.ceil(reach / 2)).map((way) => -way)]
    .map((way) => items[at + way])
    .filter((item) => item !== undefined);
}
