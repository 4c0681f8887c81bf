import { describe, expect, it } from "vitest";
import type { RunFile } from "../src/core";
import { announced, answers, nextOf } from "../src/story/answers";
import { finding, type Judged } from "../src/story/finding";
import { plain } from "../src/story/parts";
import { localized } from "../src/story/texts";
import en from "../src/lang/en.json";
import ja from "../src/lang/ja.json";

const times = (n: number, clusters: string, verdict: string | null): Judged[] => Array.from({ length: n }, () => ({ clusters, verdict }));

describe("finding", () => {
  it("tells the used from the unused, and what is left", () => {
    const places = [
      ...times(5, "clusters", "used"), ...times(6, "clusters", "present but not used"), ...times(1, "clusters", "undecided"),
      ...times(2, "none", "absent"), ...times(2, "none", "undecided"),
    ];
    expect(finding(places, "", en)).toBe(
      "The states group by task at 12 of 16 places in the network: at 5 of these the answers depend on the groups, at 6 they do not, at 1 this is undecided; of the other 4 places, none is shown to matter for the answers (undecided at 2).",
    );
    for (const number of [12, 16, 5, 6, 1, 4, 2]) expect(finding(places, "", ja)).toContain(String(number));
  });
  it("does not count what was not tested as not used", () => {
    const places = times(3, "clusters", null);
    expect(finding(places, "", en)).toBe(
      "The states group by task at 3 of 3 places in the network; whether the answers depend on the task was not tested.",
    );
  });
  it("does not call undecided places empty", () => {
    const said = finding([...times(2, "undecided", "undecided"), ...times(1, "none", "used without clusters")], "", en);
    expect(said).toBe(
      "The states group by task at none of 3 places in the network for sure (undecided at 2); the answers depend on the task at 1 although no groups are shown there.",
    );
  });
  it("counts a use where no groups are shown apart, as the questions below it do", () => {
    const places = [
      ...times(1, "clusters", "used"), ...times(6, "clusters", "present but not used"), ...times(2, "clusters", "undecided"),
      ...times(3, "undecided", "used"), ...times(4, "none", "undecided"),
    ];
    const summary = { places, accuracy: {}, clusters: {}, unmeasured: "", outputs: null, null: null, model: "", steps: 1 };
    const view = { summary, steps: [1], labels: { task: [] }, series: [], kind: "", position_names: {} } as unknown as RunFile;
    const used = answers(view, en).find((one) => one.id === "used")!.lines.map(plain);
    expect(used).toEqual([
      "where there are groups: used at 1, not at 6, undecided at 2", "where none are shown: used at 3, undecided at 4",
    ]);
    expect(finding(places, "", en)).toContain("at 1 of these the answers depend on the groups, at 6 they do not, at 2 this is undecided");
    expect(finding(places, "", en)).toContain("the answers depend on the task at 3 although");
  });
  it("advises no step that the run cannot take", () => {
    const view = (more: object, steps = [1], labels: object = { task: [] }): RunFile =>
      ({ summary: { places: [], accuracy: {}, outputs: null, null: null, unmeasured: "", ...more }, steps, labels, series: [] }) as unknown as RunFile;
    expect(nextOf(view({ unmeasured: "nothing was recorded yet" }, []))).toBe("record");
    expect(nextOf(view({ unmeasured: "no label" }, [1], {}))).toBe("label");
    expect(nextOf(view({ unmeasured: "it was not measured yet" }))).toBe("measure");
    expect(nextOf(view({}))).toBe("seed");
    expect(nextOf(view({ accuracy: { all: {} } }))).toBe("intervene");
    expect(nextOf(view({ accuracy: { all: {} }, places: times(1, "clusters", "used"), outputs: "own" }))).toBe("null");
  });
  it("counts the tasks whose wordings are listed among all tasks", () => {
    const view = (labels: object) => ({ wordings: { t0: ["a", "b"], t1: ["c"] }, labels }) as unknown as RunFile;
    expect(announced(view({ task: ["t0", "t1", "t2"] }))).toEqual({ n: 2, all: 3 });
    expect(announced(view({}))).toEqual({ n: 2, all: 2 });
  });
  it("says why nothing is known", () => {
    expect(finding([], "record", en)).toBe("Whether the states group by task is not known: nothing was recorded yet.");
  });
});

describe("localized", () => {
  it("keeps the values of a note", () => {
    const said = localized("One step was recorded (40), so that there are no curves over training and no onsets.", ja);
    expect(said).toContain("(40)");
    expect(said).not.toMatch(/[A-Za-z]{3}/);
  });
  it("leaves what it does not know as it is", () => {
    expect(localized("<b>{x}</b> (.*)", ja)).toBe("<b>{x}</b> (.*)");
  });
});

describe("languages", () => {
  it("have the same texts with the same gaps", () => {
    const gaps = (text: string): string[] => [...text.matchAll(/\{\w+\}/g)].map((one) => one[0]).sort();
    expect(Object.keys(ja).sort()).toEqual(Object.keys(en).sort());
    for (const [key, text] of Object.entries(en)) expect([key, gaps((ja as Record<string, string>)[key]!)]).toEqual([key, gaps(text)]);
  });
});
