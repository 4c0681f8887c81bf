/** What every screen shares: the source, the view, and the words. */
import { getContext, setContext } from "svelte";
import type { Source, Store, ViewState } from "../core";
import { fill, plain, type Strings } from "../story/parts";
import { ShortSource } from "./short";
import { localized } from "../story/texts";
import en from "../lang/en.json";
import ja from "../lang/ja.json";

const LANGUAGES: Record<string, Strings> = { en, ja };

export class Ui {
  /** The view as it stands; replaced as a whole at every change. */
  view: ViewState = $state.raw(null as unknown as ViewState);
  /** What is said aloud to a screen reader. */
  said = $state("");
  private readonly stop: () => void;

  readonly source: Source;

  constructor(
    source: Source,
    readonly store: Store,
  ) {
    this.source = new ShortSource(source);
    this.stop = store.subscribe((state) => (this.view = state));
  }

  get lang(): string {
    const asked = this.view.lang || document.documentElement.dataset.lang || navigator.language.slice(0, 2);
    return asked in LANGUAGES ? asked : "en";
  }

  get strings(): Strings {
    return LANGUAGES[this.lang]!;
  }

  has(key: string): boolean {
    return key in this.strings;
  }

  /** A text of the language; a value goes where its name stands in braces. */
  t(key: string, values: Record<string, string | number> = {}): string {
    const text = this.strings[key] ?? LANGUAGES.en![key];
    if (text === undefined) throw new Error(`there is no text for ${key}`);
    const given = Object.entries(values).map(([name, value]) => [name, { text: String(value) }]);
    return plain(fill(text, Object.fromEntries(given)));
  }

  /** A name that the run chose, in words where we have them. */
  named(group: string, name: string): string {
    return this.strings[`${group}.${name}`] ?? name;
  }

  /** A text that the run brings along, in the language where we have it. */
  local(said: string): string {
    return localized(said, this.strings);
  }

  set(patch: Partial<ViewState>, replace = false): void {
    this.store.set(patch, { replace });
  }

  close(): void {
    this.stop();
    this.store.close();
  }
}

const KEY = Symbol("ui");

export const provideUi = (ui: Ui): Ui => setContext(KEY, ui);
export const useUi = (): Ui => getContext<Ui>(KEY);
