/** The one sentence over a run, made of counts in the reader's language. */

import { fill, plain, type Strings } from "./parts";

/** What was found at one place: whether tasks gather there, and whether that is used. */
export type Judged = { clusters: string | null; verdict: string | null };

/** Why nothing can be said of groups; "" where something can. */
export type Lacking = "" | "record" | "label" | "measure" | "other";

/** Numbers of places: those with groups by what edits do there, then the others that were tested. */
export function counted(places: readonly Judged[]) {
  const grouped = places.filter((one) => one.clusters === "clusters");
  const tested = places.filter((one) => one.verdict !== null);
  const without = tested.filter((one) => one.clusters !== "clusters");
  const called = (of: readonly Judged[], ...verdicts: string[]): number =>
    of.filter((one) => verdicts.includes(one.verdict ?? "")).length;
  return {
    there: grouped.length, open: places.filter((one) => one.clusters === "undecided").length, tested: tested.length,
    used: called(grouped, "used"), idle: called(grouped, "present but not used"), unsure: called(grouped, "undecided"),
    rest: without.length, read: called(without, "used", "used without clusters"), doubt: called(without, "undecided"),
  };
}

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
  const { there, open, tested, used, idle, unsure, rest, read, doubt } = counted(places);
  const counts = { there, total: places.length, open };
  const groups = say(there ? "there" : open ? "open" : "none", counts);
  if (!tested) return say("untested", { groups });
  const use = !there ? "" : say(unsure ? "use.unsure" : "use", { used, idle, unsure });
  const kind = !rest ? "untested" : read ? "used" : doubt ? "unsure" : "idle";
  const others = say(`rest.${kind}${rest && rest < tested ? ".others" : ""}`, { rest, read, unsure: doubt });
  return say("all", { groups, use, rest: others });
}
