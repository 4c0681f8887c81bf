import { mount as attach, unmount } from "svelte";
import App from "./App.svelte";

export function mount(el: HTMLElement): () => void {
  const app = attach(App, { target: el });
  return () => void unmount(app);
}
