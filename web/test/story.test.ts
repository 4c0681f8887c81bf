/** The story says what the summary says, in every language, of any run. */
import { describe, expect, it } from "vitest";
import type { Summary, RunFile } from "../src/core";
import en from "../src/lang/en.json";
import ja from "../src/lang/ja.json";
import { CARDS, cards } from "../src/story/cards";
import { fill, interval, number, plain } from "../src/story/parts";

const LANGUAGES: Record<string, Record<string, string>> = { en, ja };

const from = { step: 20, low: 10, high: 30, found: 1, first_step: 0 };
const effects = { erase: 0.4, erase_low: 0.3, erase_high: 0.5, random_erase: 0.01, displaced: null, use: "used" };

function summary(more: Partial<Summary> = {}): Summary {
  const place = (verdict: string, clusters: "clusters" | "none" | "undecided", use: string, ari = 0.9) =>
    ({ stream: "block.1", position: "last", ari, clusters, verdict, effects: { ...effects, use } });
  return {
    model: "nemotron, 6 blocks x 96", tasks: "synthetic", outputs: "shared", null: null, steps: 300, recorded: 30,
    unmeasured: "", accuracy: { seen: { value: 0.98, low: 0.95, high: 0.99, chance: 0.09 } }, accuracy_onset: from,
    clusters: {
      last: {
        stream: "block.1", first: 0.1, last: 0.84, low: 0.71, high: 0.93, verdict: "clusters", onset: from,
        null: { n0: 0.28, n1: 0.2, n2: null },
      },
    },
    places: [
      place("used", "clusters", "used"), place("present but not used", "clusters", "not used"),
      place("present but not used", "clusters", "not used"), place("used without clusters", "none", "used"),
      place("used without clusters", "none", "used"), place("used without clusters", "none", "used"),
      place("undecided", "clusters", "undecided"), place("absent", "none", "not used"),
    ],
    ...more,
  };
}

const view = (of: Summary | null, status = "finished"): RunFile =>
  ({ summary: of, status, steps: [0, 300], position_names: {}, labels: { task: [] }, series: [] }) as unknown as RunFile;

const text = (of: RunFile, language: string, card: number): string =>
  cards(of, LANGUAGES[language]!)[card]!.lines.map(plain).join("\n");

const EVERY: [string, RunFile][] = [
  ["nothing recorded", view(null)],
  ...(["own", "shared", "natural", null] as const).map((outputs): [string, RunFile] => [`answers ${outputs}`, view(summary({ outputs }))]),
  ...["running", "stopped", "finished"].map((status): [string, RunFile] => [status, view(summary(), status)]),
  ["scrambled", view(summary({ null: "scrambled" }))],
  ["not measured", view(summary({ unmeasured: "it was not measured", clusters: {}, places: [] }))],
  ["no answers", view(summary({ accuracy: {}, accuracy_onset: null }))],
  ["a split of the user's", view(summary({ accuracy: { mine: { value: 0.5, low: null, high: null, chance: null } } }))],
  ["not tested", view(summary({ places: summary().places.map((one) => ({ ...one, effects: null, verdict: null })) }))],
  ...(["clusters", "none", "undecided"] as const).map((verdict): [string, RunFile] => [
    `verdict ${verdict}`, view(summary({ clusters: { last: { ...summary().clusters.last!, verdict } } })),
  ]),
  ...[{ ...from, step: null }, { ...from, low: null }, { ...from, low: 0 }].map((onset, i): [string, RunFile] => [
    `onset ${i}`, view(summary({ accuracy_onset: onset, clusters: { last: { ...summary().clusters.last!, onset } } })),
  ]),
];

describe("what matters most", () => {
  const [place] = summary().places;
  const told = (more: object): string =>
    text(view(summary({ places: [{ ...place!, effects: { ...place!.effects!, ...more } }] })), "en", 3);
  it("is told of the edit that does more beyond its control", () => {
    const shift = { shift: 0.8, shift_low: 0.75, shift_high: 0.85, chance: 0.05, controls: { random_direction: 0.1 } };
    expect(told(shift)).toContain("turns 0.80 [0.75, 0.85] of the answers into those of the other task, moves without that information 0.10");
    expect(told({ ...shift, shift: 0.11 })).toContain("costs 0.40 [0.30, 0.50] of the right answers");
    expect(told({ ...shift, controls: { random_direction: 0.7 } })).toContain("costs 0.40");
  });
});

describe("a story", () => {
  for (const language of Object.keys(LANGUAGES))
    it.each(EVERY)(`has five cards with something to say: ${language}, %s`, (_, of) => {
      const told = cards(of, LANGUAGES[language]!);
      expect(told.map((card) => card.id)).toEqual([...CARDS]);
      for (const card of told) {
        expect(card.lines.length).toBeGreaterThan(0);
        for (const line of card.lines) expect(plain(line)).not.toMatch(/undefined|NaN|\{|\}/);
      }
    });

  it("counts places as the headline does", () => {
    const said = text(view(summary()), "en", 3);
    const numbers = said.split("\n")[0]!.match(/\d+/g)!.map(Number);
    expect(numbers.sort()).toEqual([1, 1, 2, 3, 8]);
  });

  it("does not say that something is undecided at 0 places", () => {
    const decided = summary({ places: summary().places.filter((one) => one.verdict !== "undecided") });
    for (const language of Object.keys(LANGUAGES)) {
      const said = cards(view(decided), LANGUAGES[language]!).flatMap((card) => card.lines.map(plain)).join("\n");
      expect(said).not.toMatch(/ndecided|判定できない/);
    }
    expect(text(view(summary()), "en", 3)).toContain("Undecided: 1.");
  });

  it("advises no measuring where there is no label to measure by, and says why nothing is known", () => {
    const bare = view(summary({ unmeasured: "the prompts have no label 'task'", clusters: {}, places: [] }));
    const of = (labels: object, steps: number[]): string =>
      cards({ ...bare, labels, steps } as RunFile, en).flatMap((card) => card.lines.map(plain)).join("\n");
    expect(of({}, [0])).toContain("the prompts have no label 'task'");
    expect(of({}, [0])).not.toContain("nucleate measure");
    expect(of({}, [])).toContain("nothing was recorded yet");
    expect(of({ task: ["t0"] }, [0])).toContain("nucleate measure");
  });

  it("does not say that there are no answers where only the accuracy is missing", () => {
    for (const said of [text(view(summary({ accuracy: {} })), "en", 1), en["ask.right.unknown"]]) {
      expect(said).toContain("no accuracy on record");
      expect(said).not.toContain("no answers");
    }
  });

  it("gives a date only with what bounds it", () => {
    const onset = { ...from, low: 0 };
    const said = text(view(summary({ accuracy_onset: onset })), "en", 1);
    expect(said).toContain("30");
    expect(said).not.toContain("20");
  });

  it("leads from every number to its evidence", () => {
    for (const card of cards(view(summary()), en))
      for (const part of card.lines.flat())
        if (/^\d*\.\d\d/.test(part.text)) expect(part.to, part.text).toBeDefined();
  });
});

describe("a sentence", () => {
  it("refuses to be told without one of its values", () => {
    expect(() => fill("at {step}", {})).toThrow("step");
  });

  it("keeps text and values apart, so that a value is never read as markup", () => {
    expect(fill("a {x} b", { x: { text: "<b>", to: { step: 1 } } })).toEqual([
      { text: "a " }, { text: "<b>", to: { step: 1 } }, { text: " b" },
    ]);
  });

  it("writes numbers with two digits, gaps as a dash, and no interval that is not known", () => {
    expect([number(0.987), number(-0.001), number(null)]).toEqual(["0.99", "0.00", "–"]);
    expect([interval(0.1, 0.2), interval(null, 0.2)]).toEqual([" [0.10, 0.20]", ""]);
  });
});

describe("a language", () => {
  const values = (sentence: string) => (sentence.match(/\{\w+\}/g) ?? []).sort();
  it("has every text of every other, with the same values", () => {
    expect(Object.keys(ja).sort()).toEqual(Object.keys(en).sort());
    for (const [key, said] of Object.entries(en))
      expect(values(LANGUAGES.ja![key]!), key).toEqual(values(said));
  });
});
