/** What a newcomer asks of a run, each question with the run's own numbers. */

import type { RunFile, Summary } from "../core";
import { fill, interval, number, type Evidence, type Part, type Strings, type Value } from "./parts";
import { counted, type Lacking } from "./finding";
import { localized } from "./texts";

/** A question, the term that it needs, and its answer. */
export type Answer = { id: (typeof QUESTIONS)[number]; lines: Part[][] };

export const QUESTIONS = ["trained", "right", "groups", "chance", "since", "used", "sure", "next"] as const;


/** Why nothing is said of groups. */
export function lackingOf(view: RunFile): Lacking {
  if (!view.summary?.unmeasured) return "";
  if (!view.steps.length) return "record";
  if (!("task" in view.labels)) return "label";
  return view.series.length ? "other" : "measure";
}

/** Of how many of its tasks a run brings wordings along. */
export function announced(view: RunFile): { n: number; all: number } {
  const n = Object.keys(view.wordings).length;
  return { n, all: Math.max(n, view.labels.task?.length ?? 0) };
}

/** What would bring this run further: never a step that it cannot take. */
export function nextOf(view: RunFile): "record" | "label" | "measure" | "intervene" | "null" | "seed" {
  const lacking = lackingOf(view);
  if (lacking === "record" || lacking === "label" || lacking === "measure") return lacking;
  const { summary } = view;
  const tested = summary?.places.some((one) => one.verdict !== null);
  // without answers there is nothing that an edit could change
  const answered = Object.keys(summary?.accuracy ?? {}).length > 0;
  if (!lacking && !tested && answered) return "intervene";
  return summary && summary.outputs !== null && !summary.null ? "null" : "seed";
}

/**
 * @param view what `view.json` holds
 * @param strings of the language
 * @returns an answer to every question, also where it is that nothing is known
 */
export function answers(view: RunFile, strings: Strings): Answer[] {
  const { summary } = view;
  if (!summary) return [];
  const asked = new Asked(view, summary, strings);
  return QUESTIONS.map((id) => ({ id, lines: asked[id]() }));
}

const text = (value: string | number, to?: Evidence): Value => ({ text: String(value), ...(to ? { to } : {}) });

class Asked {
  constructor(
    private readonly view: RunFile,
    private readonly summary: Summary,
    private readonly strings: Strings,
  ) {}

  trained(): Part[][] {
    const { model, steps } = this.summary;
    const to: Evidence = { screen: "evidence" };
    const lines = [this.say("trained", { model: text(localized(model, this.strings), to), steps: text(steps, to), recorded: text(this.view.steps.length, to) })];
    return [...lines, [{ text: kind(this.view, this.strings) }]];
  }

  right(): Part[][] {
    const split = "seen" in this.summary.accuracy ? "seen" : Object.keys(this.summary.accuracy)[0];
    if (split === undefined) return [this.say(this.view.steps.length ? "right.unknown" : "right.unrecorded")];
    const found = this.summary.accuracy[split]!;
    const last = this.view.steps.at(-1) ?? 0;
    return [this.say("right", {
      value: text(number(found.value) + interval(found.low, found.high), { screen: "run", step: last }),
      chance: text(number(found.chance)),
    })];
  }

  groups(): Part[][] {
    const { places } = this.summary;
    if (this.summary.unmeasured || !places.length) return [this.unmeasured()];
    const there = places.filter((one) => one.clusters === "clusters");
    const lines = [this.say("groups", { there: text(there.length, { screen: "evidence" }), total: text(places.length) })];
    const best = there.reduce((a, b) => ((b.ari ?? 0) > (a?.ari ?? -1) ? b : a), there[0]);
    if (best) {
      const to: Evidence = { screen: "run", stream: best.stream, position: best.position };
      lines.push(this.say("groups.best", { place: text(this.place(best.stream, best.position), to) }));
    }
    return lines;
  }

  chance(): Part[][] {
    const found = Object.entries(this.summary.clusters);
    if (!found.length) return [this.unmeasured()];
    return found.map(([position, one]) => {
      const nulls = [one.null.n0, one.null.n1, one.null.n2].filter((each) => each !== null);
      const to: Evidence = { screen: "run", stream: one.stream, position };
      return this.say("chance", {
        place: text(this.position(position)),
        value: text(number(one.last) + interval(one.low, one.high), to),
        null: text(number(nulls.length ? Math.max(...nulls) : null)),
      });
    });
  }

  since(): Part[][] {
    const found = Object.entries(this.summary.clusters).filter(([, one]) => one.verdict === "clusters");
    if (!found.length) return [this.summary.unmeasured ? this.unmeasured() : this.say("since.none")];
    return found.map(([position, one]) => this.say("since", { place: text(this.position(position)), when: text(dated(one.onset, this.strings)) }));
  }

  used(): Part[][] {
    const found = counted(this.summary.places);
    if (!found.tested) return [this.say("used.untested")];
    const count = (of: number): Value => text(of, { screen: "evidence" });
    const { used, idle, unsure, read, doubt } = found;
    const lines = found.there ? [this.say("used", { used: count(used), idle: count(idle), unsure: count(unsure) })] : [];
    return found.rest ? [...lines, this.say("used.bare", { bare: count(read), unsure: count(doubt) })] : lines;
  }

  sure(): Part[][] {
    return [this.say("sure")];
  }

  next(): Part[][] {
    return [this.say(`next.${nextOf(this.view)}`)];
  }

  /** Why nothing is said of groups. */
  private unmeasured(): Part[] {
    return fill(this.strings[`finding.lacking.${lackingOf(this.view) || "measure"}`] ?? "", {});
  }

  private say(key: string, values: Record<string, Value> = {}): Part[] {
    const template = this.strings[`ask.${key}`];
    if (template === undefined) throw new Error(`there is no text for ask.${key}`);
    return fill(template, values);
  }

  private position(name: string): string {
    return this.strings[`position.${name}`] ?? this.view.position_names[name] ?? name;
  }

  private place(stream: string, position: string): string {
    return `${stream}, ${this.position(position)}`;
  }
}

/** What the answers of a run's tasks are. */
export function kind(view: RunFile, strings: Strings): string {
  const { summary } = view;
  if (!summary || summary.outputs === null) return localized(view.kind, strings);
  return (strings[`kind.${summary.outputs}`] ?? view.kind) + (summary.null ? (strings["kind.null"] ?? "") : "");
}

/** When something began, as far as it can be told: never a step without what bounds it. */
export function dated(
  onset: { step: number | null; low: number | null; high: number | null; found: number | null; first_step: number | null }, strings: Strings,
): string {
  const say = (key: string, values: Record<string, number> = {}): string =>
    Object.entries(values).reduce((said, [name, value]) => said.replace(`{${name}}`, String(value)), strings[`dated.${key}`] ?? "");
  if (onset.step === null) return say("never");
  const { step, low, high, found } = onset;
  if (low === null || high === null) return found === null ? say("bare", { step }) : say("open", { step, found: Math.round(100 * found) });
  return low <= (onset.first_step ?? 0) ? say("by", { high }) : say("from", { step, low, high });
}
