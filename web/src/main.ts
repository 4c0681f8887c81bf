import { mount as attach, unmount } from "svelte";
import type { Source } from "./core";
import App from "./App.svelte";
import "./app.css";

/**
 * Show the app.
 *
 * @param el the element to fill
 * @param source where the data comes from
 * @returns a function that takes the app away
 */
export function mount(el: HTMLElement, source: Source): () => void {
  const app = attach(App, { target: el, props: { source } });
  return () => void unmount(app);
}
