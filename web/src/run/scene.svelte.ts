/** What the run screen shows: the cursor with its defaults, the rows and the cloud's coordinates. */
import { FrameCache, paths, SourceError, type Answers, type CloudFacts, type Rows } from "../core";
import type { View } from "../lib/summary";
import { MOST_FOCUS } from "../lib/colors";
import type { Ui } from "../lib/ui.svelte";

export type Facts = Omit<CloudFacts, "erased" | "frames"> & {
  frames: (CloudFacts["frames"][number] & { null_ari_k?: number | null })[];
  erased: { unit: number; radius: number } | null };
export type Frame = {
  data: Int16Array<ArrayBuffer>; unit: number; radius: number; step: number;
  /** Whole numbers times this are coordinates as they are drawn. */
  scale: number;
  /** What the coordinates mean: frames of one place and basis can be mixed. */
  place: string;
};

const MOST_BYTES = 96 * 2 ** 20;

export class Scene {
  rows: Rows | null = $state.raw(null);
  facts: Facts | null = $state.raw(null);
  frame: Frame | null = $state.raw(null);
  answers: Answers | null = $state.raw(null);
  fault = $state("");
  playing = $state(false);
  /** Task that the pointer is on. */
  hover: number | null = $state(null);
  private readonly frames: FrameCache;
  private asked = "";

  constructor(
    readonly ui: Ui,
    readonly file: () => View,
  ) {
    this.frames = new FrameCache(ui.source, MOST_BYTES);
  }

  readonly steps = $derived.by(() => this.file().steps);
  readonly step = $derived.by(() => {
    const wanted = this.ui.view.step;
    const steps = this.steps;
    if (wanted < 0) return steps.at(-1) ?? 0;
    return steps.reduce((best, one) => (Math.abs(one - wanted) < Math.abs(best - wanted) ? one : best), steps[0] ?? 0);
  });
  readonly position = $derived.by(() => {
    const { positions, places } = this.file();
    if (positions.includes(this.ui.view.position)) return this.ui.view.position;
    const best = places.filter((one) => one.ari !== null).sort((a, b) => b.ari! - a.ari!)[0];
    return best?.position ?? positions[0] ?? "";
  });
  readonly stream = $derived.by(() => {
    const { streams, places } = this.file();
    if (streams.includes(this.ui.view.stream)) return this.ui.view.stream;
    const here = places.filter((one) => one.position === this.position && one.ari !== null);
    return here.sort((a, b) => b.ari! - a.ari!)[0]?.stream ?? streams.at(-1) ?? "";
  });
  readonly place = $derived.by(() =>
    this.file().places.find((one) => one.stream === this.stream && one.position === this.position),
  );
  readonly basis = $derived.by(() => (this.ui.view.basis === "variance" ? "variance" : "tasks"));
  readonly color = $derived.by(() => {
    const wanted = this.ui.view.color;
    return this.rows && wanted in this.rows.labels ? wanted : this.file().color;
  });
  readonly values = $derived.by(() => this.rows?.labels[this.color]?.values ?? []);
  /** Codes of the rows shown in the cloud. */
  readonly codes = $derived.by(() => {
    if (!this.rows || !this.facts) return [];
    const all = this.ui.view.nulls ? this.rows.null_task : (this.rows.labels[this.color]?.codes ?? []);
    return this.facts.index.map((row) => all[row] ?? -1);
  });
  /** Tasks in focus: those chosen, or the four of most rows. */
  readonly focus = $derived.by(() => {
    const chosen = this.ui.view.focus.map((name) => this.values.indexOf(name)).filter((code) => code >= 0);
    if (chosen.length) return chosen.slice(0, MOST_FOCUS);
    const counts = this.values.map(() => 0);
    const real = this.rows?.labels[this.color]?.codes ?? [];
    for (const row of this.facts?.index ?? []) if ((real[row] ?? -1) >= 0) counts[real[row]!]! += 1;
    const order = counts.map((_, code) => code).sort((a, b) => counts[b]! - counts[a]! || a - b);
    return order.slice(0, 4);
  });
  readonly shot = $derived.by(() => this.facts?.frames.find((one) => one.step === this.frame?.step) ?? null);
  readonly shotNull = $derived.by(() => this.shot?.null_ari_k ?? null);

  go(step: number): void {
    this.ui.set({ step }, true);
    this.ui.said = this.ui.t("said.step", { step });
  }

  /** Move by recorded steps. */
  move(by: number): boolean {
    const at = this.steps.indexOf(this.step) + by;
    if (at < 0 || at >= this.steps.length) return false;
    this.go(this.steps[at]!);
    return true;
  }

  moveStream(by: number): void {
    const { streams } = this.file();
    const stream = streams[streams.indexOf(this.stream) + by];
    if (stream) this.ui.set({ stream, position: this.position });
  }

  toggleFocus(code: number): void {
    const name = this.values[code]!;
    const now = this.focus.map((one) => this.values[one]!);
    const next = now.includes(name) ? now.filter((one) => one !== name) : [...now.slice(-(MOST_FOCUS - 1)), name];
    if (next.length) this.ui.set({ focus: next });
  }

  async loadRows(): Promise<void> {
    this.rows = await this.try(() => this.ui.source.json<Rows>(paths.rows(this.ui.view.run)));
  }

  async loadAnswers(step: number): Promise<void> {
    const got = await this.try(() => this.ui.source.json<Answers>(paths.answers(this.ui.view.run, step)), true);
    if (step === this.step) this.answers = got;
  }

  async loadCloud(stream: string, position: string, basis: string): Promise<void> {
    const run = this.ui.view.run;
    const facts = await this.try(() => this.ui.source.json<Facts>(paths.cloud(run, stream, position, basis)));
    if (stream !== this.stream || position !== this.position) return;
    this.frame = null;
    this.facts = facts;
  }

  /** Fetches the coordinates of a step, and those of its neighbors ahead of time. */
  async loadFrame(facts: Facts, at: { stream: string; position: string }, step: number, erased: boolean): Promise<void> {
    const known = facts.frames.map((one) => one.step);
    if (!known.length) return;
    const which = erased && facts.erased ? "erased" : "";
    const closest = known.reduce((best, one) => (Math.abs(one - step) < Math.abs(best - step) ? one : best));
    // what was erased was erased from the last step
    const nearest = which ? known.at(-1)! : closest;
    const path = paths.frame(this.ui.view.run, at.stream, at.position, facts.basis, which || nearest);
    this.asked = path;
    const data = await this.try(() => this.frames.get(path));
    if (!data || this.asked !== path) return;
    const shot = facts.frames[known.indexOf(nearest)]!;
    const { unit, radius } = which ? facts.erased! : shot;
    // coordinates come divided by the radius of their step
    const scale = this.ui.view.trueScale ? (unit * radius) / (facts.frames.at(-1)?.radius || 1) : unit;
    const place = JSON.stringify([at.stream, at.position, facts.basis, facts.basis_step]);
    this.frame = { data, unit, radius, scale, step: nearest, place };
    const i = known.indexOf(nearest);
    const next = [i + 1, i - 1, i + 2].map((one) => known[one]).filter((one) => one !== undefined);
    this.frames.prefetch(next.map((one) => paths.frame(this.ui.view.run, at.stream, at.position, facts.basis, one)));
  }

  /** Colors and shapes of the rows shown. */
  readonly looks = $derived.by(() => {
    const index = this.facts?.index ?? [];
    const right = this.answers?.correct;
    return {
      color: Int16Array.from(this.codes, (code) => this.focus.indexOf(code)),
      shape: Uint8Array.from(index, (row) => (right?.[row] === 0 ? 2 : right?.[row] === 1 ? 1 : 0)),
    };
  });
  /** Rows drawn faint: those of tasks that are not in focus, or not under the pointer. */
  readonly dimmed = $derived.by(() =>
    Uint8Array.from(this.codes, (code) => ((this.hover === null ? this.focus.includes(code) : code === this.hover) ? 0 : 1)),
  );

  private async try<T>(get: () => Promise<T>, quiet = false): Promise<T | null> {
    try {
      const got = await get();
      this.fault = "";
      return got;
    } catch (error) {
      if (!(quiet && error instanceof SourceError && error.status === 404)) {
        const missing = error instanceof SourceError && error.status === 404 && !this.ui.source.live;
        this.fault = missing ? this.ui.t("report.missing") : error instanceof Error ? error.message : String(error);
      }
      return null;
    }
  }
}
