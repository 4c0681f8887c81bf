/**
 * The story of a run in five cards, for a reader who has thirty seconds.
 *
 * Nothing is judged here: whether tasks are kept apart and whether that is used stands in the
 * summary, and the cards say it in the reader's language.
 */

import type { Place, RunFile, Summary } from "../core";
import { beyondControl, effectOf, type Effect } from "../lib/format";
import { lackingOf, nextOf } from "./answers";
import { fill, interval, number, type Evidence, type Part, type Strings, type Value } from "./parts";
import { localized } from "./texts";

/** One card: a heading and a few sentences. */
export type Card = { id: CardId; title: string; lines: Part[][] };

export type CardId = (typeof CARDS)[number];

export const CARDS = ["trained", "learnt", "where", "used", "sure"] as const;

type Onset = Summary["clusters"][string]["onset"];

/**
 * Tell a run.
 *
 * @param view what `view.json` holds
 * @param strings of the language
 * @returns five cards; a card says so where the run does not have what it would tell
 */
export function cards(view: RunFile, strings: Strings): Card[] {
  const teller = new Teller(view, strings);
  return CARDS.map((id) => ({ id, title: teller.text(`story.${id}`), lines: teller.lines(id) }));
}

class Teller {
  constructor(
    private readonly view: RunFile,
    private readonly strings: Strings,
  ) {}

  text(key: string): string {
    const found = this.strings[key];
    if (found === undefined) throw new Error(`there is no text for ${key}`);
    return found;
  }

  lines(id: CardId): Part[][] {
    const summary = this.view.summary;
    if (!summary) return [this.say("story.nothing", {})];
    return {
      trained: () => this.trained(summary),
      learnt: () => this.learnt(summary),
      where: () => this.where(summary),
      used: () => this.used(summary),
      sure: () => this.sure(summary),
    }[id]();
  }

  private say(key: string, values: Record<string, Value>): Part[] {
    return fill(this.text(key), values);
  }

  /** At how many places nothing was decided; silent where that is none. */
  private openAt(key: string, undecided: Value): Part[] {
    return undecided.text === "0" ? [] : this.say(`${key}.open_at`, { undecided });
  }

  private trained(summary: Summary): Part[][] {
    const settings: Evidence = { screen: "evidence" };
    const kind = summary.outputs === null ? "any" : summary.outputs;
    const lines = [
      this.say("story.trained.model", {
        model: { text: localized(summary.model, this.strings), to: settings },
        tasks: { text: localized(summary.tasks, this.strings), to: settings },
        steps: { text: String(summary.steps), to: settings },
        recorded: { text: String(this.view.steps.length), to: settings },
      }),
      this.say(`story.trained.${kind}`, {}),
    ];
    if (summary.null) lines.push(this.say("story.trained.null", {}));
    if (this.view.status !== "finished") lines.push(this.say(`story.trained.${this.view.status}`, {}));
    return lines;
  }

  private learnt(summary: Summary): Part[][] {
    const split = "seen" in summary.accuracy ? "seen" : Object.keys(summary.accuracy)[0];
    if (split === undefined) return [this.say("story.learnt.unknown", {})];
    const to: Evidence = { screen: "run", step: this.view.steps.at(-1) ?? 0 };
    const right = this.accuracy(summary, split, to);
    const lines = [this.say("story.learnt.right", right)];
    const unseen = ["unseen_cell", "unseen_string", "unseen_family"].find(
      (name) => name in summary.accuracy,
    );
    if (unseen) lines.push(this.say("story.learnt.unseen", this.accuracy(summary, unseen, to)));
    const onset = summary.accuracy_onset;
    lines.push(onset ? this.dated("story.learnt", onset, {}) : this.say("story.learnt.undated", {}));
    return lines;
  }

  private accuracy(summary: Summary, split: string, to: Evidence): Record<string, Value> {
    const found = summary.accuracy[split]!;
    return {
      value: { text: number(found.value) + interval(found.low, found.high), to },
      chance: { text: number(found.chance), to },
      split: { text: this.strings[`split.${split}`] ?? split },
    };
  }

  private where(summary: Summary): Part[][] {
    if (summary.unmeasured) {
      const why = { text: this.text(`finding.lacking.${lackingOf(this.view)}`) };
      return [this.say("finding.unmeasured", { why })];
    }
    const there = summary.places.filter((place) => place.clusters === "clusters");
    const open = summary.places.filter((place) => place.clusters === "undecided").length;
    const said = this.say(there.length ? "story.where.there" : "story.where.none", {
      there: { text: String(there.length), to: { screen: "run" } },
      places: { text: String(summary.places.length), to: { screen: "run" } },
    });
    const lines = [[...said, ...this.openAt("story.where", { text: String(open), to: { screen: "evidence" } })]];
    for (const [position, found] of Object.entries(summary.clusters)) {
      const to: Evidence = { screen: "run", stream: found.stream, position, metric: "ari" };
      const nulls = [found.null.n0, found.null.n1, found.null.n2].filter((n) => n !== null);
      const values = {
        place: { text: this.place(found.stream, position), to },
        value: { text: number(found.last) + interval(found.low, found.high), to },
        null: { text: nulls.length ? number(Math.max(...nulls)) : "–", to },
      };
      const key = found.verdict === "none" ? "none_here" : found.verdict;
      lines.push(this.say(`story.where.${key}`, values));
      if (found.verdict === "clusters" && summary.recorded !== 1) {
        lines.push(this.dated("story.where", found.onset, { to }));
      }
    }
    return lines;
  }

  private used(summary: Summary): Part[][] {
    const tested = summary.places.filter((place) => place.effects !== null);
    if (!tested.length) return [this.say("story.used.untested", {})];
    // "used" may be said of a place whose groups are undecided: that is another finding
    const bare = tested.filter((place) => place.effects!.use === "used" && place.clusters !== "clusters");
    const called = (verdict: string) =>
      tested.filter((place) => place.verdict === verdict && !bare.includes(place));
    const count = (verdict: string): Value => ({
      text: String(called(verdict).length),
      to: { screen: "run" },
    });
    const said = this.say("story.used.counts", {
      tested: { text: String(tested.length), to: { screen: "evidence" } },
      used: count("used"),
      idle: count("present but not used"),
      bare: { text: String(bare.length), to: { screen: "run" } },
    });
    const lines = [[...said, ...this.openAt("story.used", count("undecided"))]];
    const most = (place: Summary["places"][number]): Effect | null => effectOf({ ...place.effects, ...place.effects!.controls } as Partial<Place> as Place);
    const beyond = (place: Summary["places"][number]): number => beyondControl(most(place));
    const strongest = [...called("used"), ...bare].sort((a, b) => beyond(b) - beyond(a))[0];
    const found = strongest && most(strongest);
    if (strongest && found) {
      const to: Evidence = { screen: "run", stream: strongest.stream, position: strongest.position };
      lines.push(this.say(`story.used.strongest.${found.edit}`, {
        place: { text: this.place(strongest.stream, strongest.position), to },
        value: { text: number(found.value) + interval(found.low, found.high), to },
        control: { text: number(found.control), to },
      }));
    }
    const idle = called("present but not used").sort((a, b) => (b.ari ?? 0) - (a.ari ?? 0))[0];
    if (idle) lines.push(this.say("story.used.idle", this.effects(idle)));
    return lines;
  }

  private effects(place: Summary["places"][number]): Record<string, Value> {
    const found = place.effects!;
    const to: Evidence = { screen: "run", stream: place.stream, position: place.position };
    const control = Math.max(found.random_erase, found.displaced ?? 0);
    return {
      place: { text: this.place(place.stream, place.position), to },
      ari: { text: number(place.ari), to },
      erase: { text: number(found.erase) + interval(found.erase_low, found.erase_high), to },
      control: { text: number(control), to },
    };
  }

  private sure(summary: Summary): Part[][] {
    const lines = [this.say("story.sure.one", {})];
    const open = summary.places.filter(
      (place) => place.verdict === "undecided" || (!place.verdict && place.clusters === "undecided"),
    ).length;
    if (open) {
      const undecided = { text: String(open), to: { screen: "evidence" } as Evidence };
      lines.push(this.say("story.sure.undecided", { undecided }));
    }
    const next = nextOf(this.view);
    lines.push(this.say(`story.next.${next}`, {}));
    if (next !== "seed") lines.push(this.say("story.next.seed", {}));
    return lines;
  }

  private place(stream: string, position: string): string {
    const named = this.strings[`position.${position}`] ?? this.view.position_names[position] ?? position;
    return `${stream}, ${named}`;
  }

  /** When something began, as far as it can be told: never a step without what bounds it. */
  private dated(key: string, onset: Onset, value: { to?: Evidence }): Part[] {
    const at = (step: number): Value => ({
      text: String(step),
      to: { ...value.to, screen: "run", step },
    });
    if (onset.step === null) return this.say(`${key}.never`, {});
    if (onset.low === null || onset.high === null) return this.say(`${key}.open`, { step: at(onset.step) });
    if (onset.low <= onset.first_step) return this.say(`${key}.by`, { high: at(onset.high) });
    return this.say(`${key}.from`, {
      step: at(onset.step),
      low: at(onset.low),
      high: at(onset.high),
    });
  }
}
