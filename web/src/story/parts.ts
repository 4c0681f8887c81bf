/** Sentences with numbers in them, each number a link to what it rests on. */

import type { ViewState } from "../core";

/** A place in the app that shows where a number comes from. */
export type Evidence = Partial<ViewState>;

/** A piece of a sentence: plain text, or a value that leads to its evidence. */
export type Part = { text: string; to?: Evidence };

/** A value that goes into a sentence. */
export type Value = { text: string; to?: Evidence };

/** Sentence key -> sentence with `{name}` where values go, in one language. */
export type Strings = Readonly<Record<string, string>>;

/**
 * Put values into a sentence.
 *
 * @param template text with `{name}` where a value goes
 * @param values name -> value
 * @returns the pieces in order
 * @throws Error if the sentence names a value that is not given: a gap must not look like a text
 */
export function fill(template: string, values: Readonly<Record<string, Value>> = {}): Part[] {
  const parts: Part[] = [];
  let done = 0;
  for (const found of template.matchAll(/\{(\w+)\}/g)) {
    const name = found[1] as string;
    const value = values[name];
    if (!value) throw new Error(`the sentence “${template}” needs the value ${name}`);
    if (found.index > done) parts.push({ text: template.slice(done, found.index) });
    parts.push(value.to ? { text: value.text, to: value.to } : { text: value.text });
    done = found.index + found[0].length;
  }
  if (done < template.length) parts.push({ text: template.slice(done) });
  return parts;
}

/** The sentence without its links. */
export function plain(parts: readonly Part[]): string {
  return parts.map((part) => part.text).join("");
}

/** A share or an ARI as text: two digits, as in the report. */
export function number(value: number | null): string {
  if (value === null) return "–";
  // no “-0.00”
  const text = value.toFixed(2);
  return text === "-0.00" ? "0.00" : text;
}

/** A 95 % interval as text; empty where it is not known. */
export function interval(low: number | null | undefined, high: number | null | undefined): string {
  return low == null || high == null ? "" : ` [${number(low)}, ${number(high)}]`;
}
