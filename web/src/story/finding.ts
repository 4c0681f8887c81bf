/** The one sentence over a run, made of counts in the reader's language. */

import { fill, plain, type Strings } from "./parts";

/** What was found at one place: whether tasks gather there, and whether that is used. */
export type Judged = { clusters: string | null; verdict: string | null };

/** Why nothing can be said of groups; "" where something can. */
export type Lacking = "" | "record" | "label" | "measure" | "other";

/**
 * At how many places states group by task, and at how many of these the answers depend on it.
 *
 * @param places every place that was measured
 * @param lacking why none was
 * @param strings of the language
 */
export function finding(places: readonly Judged[], lacking: Lacking, strings: Strings): string {
  const say = (key: string, values: Record<string, number | string> = {}): string => {
    const given = Object.entries(values).map(([name, value]) => [name, { text: String(value) }]);
    return plain(fill(strings[`finding.${key}`] ?? "", Object.fromEntries(given)));
  };
  if (lacking) return say("unmeasured", { why: say(`lacking.${lacking}`) });
  const there = places.filter((one) => one.clusters === "clusters");
  const called = (of: readonly Judged[], ...verdicts: string[]): number =>
    of.filter((one) => verdicts.includes(one.verdict ?? "")).length;
  const open = places.filter((one) => one.clusters === "undecided").length;
  const counts = { there: there.length, total: places.length, open };
  const groups = say(there.length ? "there" : open ? "open" : "none", counts);
  const tested = places.filter((one) => one.verdict !== null);
  if (!tested.length) return say("untested", { groups });
  const [used, idle, unsure] = ["used", "present but not used", "undecided"].map((name) => called(there, name));
  const use = !there.length ? "" : say(unsure ? "use.unsure" : "use", { used: used!, idle: idle!, unsure: unsure! });
  const rest = tested.filter((one) => one.clusters !== "clusters");
  const read = called(rest, "used", "used without clusters");
  const doubt = called(rest, "undecided");
  const kind = !rest.length ? "untested" : read ? "used" : doubt ? "unsure" : "idle";
  const others = say(`rest.${kind}${rest.length && rest.length < tested.length ? ".others" : ""}`, { rest: rest.length, read, unsure: doubt });
  return say("all", { groups, use, rest: others });
}
