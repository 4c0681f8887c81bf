/** Notes and methods come as English text; a language has them under the text with its gaps. */

import english from "../lang/en.json";
import type { Strings } from "./parts";

const escaped = (part: string): string => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** The values in the gaps of a sentence; null where it is another sentence. */
function read(template: string, said: string): Record<string, string> | null {
  const pattern = template.split(/\{\w+\}/).map(escaped).join("(.+?)");
  const found = new RegExp(`^${pattern}$`, "su").exec(said);
  if (!found) return null;
  const names = [...template.matchAll(/\{(\w+)\}/g)].map((one) => one[1]!);
  return Object.fromEntries(names.map((name, i) => [name, found[i + 1]!]));
}

/**
 * A text of the run in the reader's language.
 *
 * @param said the text as the run has it
 * @param strings of the language; texts with gaps stand under keys that begin with `text.`
 * @returns the text; as it was where the language does not have it
 */
export function localized(said: string, strings: Strings): string {
  if (strings === english) return said;
  for (const [key, template] of Object.entries(english)) {
    if (!key.startsWith("text.")) continue;
    const values = read(template, said);
    if (values) return (strings[key] ?? template).replace(/\{(\w+)\}/g, (_, name: string) => values[name] ?? "");
  }
  return said;
}
