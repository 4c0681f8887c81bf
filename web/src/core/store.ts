/** Holds the view, tells who listens, and keeps the URL in step. */
import { changed, decodeState, encodeState, type ViewState } from "./state";

/** The part of a window that a store uses. */
export interface Bar {
  readonly location: { hash: string; pathname: string; search: string };
  readonly history: {
    pushState(data: unknown, unused: string, url: string): void;
    replaceState(data: unknown, unused: string, url: string): void;
  };
  addEventListener(type: "popstate" | "hashchange", listener: () => void): void;
  removeEventListener(type: "popstate" | "hashchange", listener: () => void): void;
}

/** A bar of its own: a frame within a page has no address that could be written. */
export function boxedBar(): Bar {
  const location = { hash: "", pathname: "", search: "" };
  const write = (_data: unknown, _unused: string, url: string): void => {
    location.hash = url.slice(url.indexOf("#"));
  };
  return {
    location,
    history: { pushState: write, replaceState: write },
    addEventListener: () => undefined,
    removeEventListener: () => undefined,
  };
}

/** Browsers refuse more than some 100 changes of the URL in 30 s; scrubbing makes more. In milliseconds. */
const URL_PAUSE = 350;

/** The one view state of a page. */
export class Store {
  private value: ViewState;
  private readonly listeners = new Set<(state: ViewState) => void>();
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly bar: Bar = window) {
    this.value = decodeState(bar.location.hash);
    bar.addEventListener("popstate", this.read);
    bar.addEventListener("hashchange", this.read);
  }

  get state(): ViewState {
    return this.value;
  }

  /**
   * Changes some fields.
   * @param options.replace No new entry for the back button (scrubbing, zooming).
   */
  set(patch: Partial<ViewState>, options: { replace?: boolean } = {}): void {
    const before = encodeState(this.value);
    // The entry that the back button returns to must be the view as it was last seen.
    if (!options.replace) this.flush();
    this.value = changed(this.value, patch);
    const after = encodeState(this.value);
    if (!options.replace && after !== before) this.write("pushState");
    else if (after !== before) this.timer ??= setTimeout(() => this.flush(), URL_PAUSE);
    this.tell();
  }

  /** Calls `listener` now and after every change; returns a function that stops. */
  subscribe(listener: (state: ViewState) => void): () => void {
    this.listeners.add(listener);
    listener(this.value);
    return () => this.listeners.delete(listener);
  }

  /** Writes a waiting change to the URL now. */
  flush(): void {
    if (this.timer === undefined) return;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.write("replaceState");
  }

  /** Stops listening to the URL. */
  close(): void {
    this.flush();
    this.bar.removeEventListener("popstate", this.read);
    this.bar.removeEventListener("hashchange", this.read);
    this.listeners.clear();
  }

  private write(how: "pushState" | "replaceState"): void {
    const { pathname, search } = this.bar.location;
    try {
      this.bar.history[how](null, "", encodeState(this.value) || pathname + search);
    } catch {
      // A page in a sandboxed frame may not change its URL; the view works without.
    }
  }

  private readonly read = (): void => {
    const { hash } = this.bar.location;
    // The user has gone elsewhere: what waited to be written belongs to the view that was left.
    clearTimeout(this.timer);
    this.timer = undefined;
    if (encodeState(decodeState(hash)) === encodeState(this.value)) return;
    this.value = decodeState(hash);
    this.tell();
  };

  private tell(): void {
    for (const listener of [...this.listeners]) listener(this.value);
  }
}
