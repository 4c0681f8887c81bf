/** The data of a notebook: parts are asked for by messages, which its Python side answers. */
import { SourceError, type Source } from "./source";

/** Asks for a part; `fault` is empty where it came. */
export type Ask = (path: string) => Promise<{ fault: string; data: DataView | null }>;

/** Reads by asking whoever shows the app. */
export class MessageSource implements Source {
  /** As in a report: runs are shown as they were. */
  readonly live = false;

  constructor(private readonly ask: Ask) {}

  async json<T>(path: string): Promise<T> {
    return JSON.parse(new TextDecoder().decode(await this.bytes(path))) as T;
  }

  async bytes(path: string): Promise<ArrayBuffer> {
    const { fault, data } = await this.ask(path);
    if (fault || !data) throw new SourceError(path, 400, fault || "nothing came.");
    // a copy: the message belongs to another frame, and may hold more than this part
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice().buffer as ArrayBuffer;
  }

  events(): () => void {
    return () => undefined;
  }
}

/** How the frame around the app asks for parts; null where the app is a page of its own. */
export function askOf(frame: Element | null): Ask | null {
  return (frame as { nucleate?: Ask } | null)?.nucleate ?? null;
}
