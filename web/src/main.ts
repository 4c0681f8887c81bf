import { mount as attach, unmount } from "svelte";
import type { Bar, Source } from "./core";
import App from "./App.svelte";
import "./app.css";

/**
 * Show the app.
 *
 * @param el the element to fill
 * @param source where the data comes from
 * @param bar holds the view in its address; the window by default
 * @returns a function that takes the app away
 */
export function mount(el: HTMLElement, source: Source, bar?: Bar): () => void {
  const app = attach(App, { target: el, props: bar ? { source, bar } : { source } });
  return () => void unmount(app);
}
