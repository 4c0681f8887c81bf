/** Where the data comes from, and the server as one such place. */

/** A run has grown. `run` is empty where any run may have changed. */
export interface Change {
  run: string;
  /** Journal lines that can be read now; 0 where unknown. */
  lines: number;
}

/** What the screens read from. Paths are those of `paths`. */
export interface Source {
  /** Whether runs can change while they are looked at. */
  readonly live: boolean;
  json<T>(path: string): Promise<T>;
  bytes(path: string, signal?: AbortSignal): Promise<ArrayBuffer>;
  /** Calls `on` for every change; returns a function that stops. */
  events(on: (change: Change) => void): () => void;
}

/** A source could not give what was asked. `status` is that of HTTP; 404 where the page lacks it. */
export class SourceError extends Error {
  constructor(
    readonly path: string,
    readonly status: number,
    why: string,
  ) {
    super(`Cannot read ${path}: ${why}`);
    this.name = "SourceError";
  }
}

/** Reads from the server that served the page. */
export class HttpSource implements Source {
  readonly live = true;

  /** @param root Address of the data. Relative, so that it works behind a proxy's prefix. */
  constructor(private readonly root = "api/") {}

  async json<T>(path: string): Promise<T> {
    return (await (await this.ask(path)).json()) as T;
  }

  async bytes(path: string, signal?: AbortSignal): Promise<ArrayBuffer> {
    return (await this.ask(path, signal)).arrayBuffer();
  }

  events(on: (change: Change) => void): () => void {
    return listen(`${this.root}events`, on);
  }

  private async ask(path: string, signal?: AbortSignal): Promise<Response> {
    const answer = await fetch(this.root + path, signal ? { signal } : {});
    if (answer.ok) return answer;
    const text = await answer.text().catch(() => "");
    throw new SourceError(path, answer.status, reason(text).slice(0, 300) || `the server answered ${answer.status}.`);
  }
}

/** What the server says in `error`, else all that it says. */
function reason(text: string): string {
  try {
    const said = (JSON.parse(text) as { error?: unknown } | null)?.error;
    return typeof said === "string" ? said : text;
  } catch {
    return text; // a proxy's page, say
  }
}

/** Longest wait before a lost stream is opened again, in milliseconds. */
const LONGEST_WAIT = 30_000;

/**
 * One stream of events. The browser resumes a dropped connection by itself,
 * with the last id; it gives up on an answer that is no stream (a proxy's
 * error page), so then a new one is opened and everything counts as changed.
 */
function listen(address: string, on: (change: Change) => void): () => void {
  let stream: EventSource | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let wait = 1000;
  let again = false;
  const heard = (event: MessageEvent<string>): void => {
    wait = 1000;
    on(readChange(event.data));
  };
  const open = (): void => {
    stream = new EventSource(address);
    stream.addEventListener("run", heard);
    stream.addEventListener("runs", heard);
    stream.onopen = () => {
      if (again) on({ run: "", lines: 0 });
      again = false;
    };
    stream.onerror = () => {
      if (stream?.readyState !== EventSource.CLOSED) return;
      again = true;
      timer = setTimeout(open, wait);
      wait = Math.min(2 * wait, LONGEST_WAIT);
    };
  };
  open();
  return () => {
    clearTimeout(timer);
    stream?.close();
  };
}

/** Reads the data of one event; what cannot be read counts as a change of anything. */
export function readChange(text: string): Change {
  try {
    const data = JSON.parse(text) as Partial<Change> | null;
    return {
      run: typeof data?.run === "string" ? data.run : "",
      lines: typeof data?.lines === "number" && Number.isFinite(data.lines) ? data.lines : 0,
    };
  } catch {
    return { run: "", lines: 0 };
  }
}
