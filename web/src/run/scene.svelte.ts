/** What the run screen shows: the cursor with its defaults, the rows and the cloud's coordinates. */
import { paths, SourceError, type Answers, type CloudFacts, type Rows } from "../core";
import type { View } from "../lib/summary";
import { MOST_FOCUS } from "../lib/colors";
import type { Ui } from "../lib/ui.svelte";

export type Facts = Omit<CloudFacts, "erased" | "frames"> & {
  frames: (CloudFacts["frames"][number] & { null_ari_k?: number | null })[];
  erased: { unit: number; radius: number } | null };
export type Frame = { data: Int16Array; scale: number; step: number; key: string };

const MOST_FRAMES = 80;

export class Scene {
  rows: Rows | null = $state.raw(null);
  facts: Facts | null = $state.raw(null);
  frame: Frame | null = $state.raw(null);
  answers: Answers | null = $state.raw(null);
  fault = $state("");
  playing = $state(false);
  /** Task that the pointer is on. */
  hover: number | null = $state(null);
  private readonly frames = new Map<string, Int16Array>();
  private asked = "";

  constructor(
    readonly ui: Ui,
    readonly file: () => View,
  ) {}

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
    for (const code of this.codes) if (code >= 0) counts[code]! += 1;
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
    const nearest = known.reduce((best, one) => (Math.abs(one - step) < Math.abs(best - step) ? one : best));
    const which = erased && facts.erased ? "erased" : nearest;
    const path = paths.frame(this.ui.view.run, at.stream, at.position, facts.basis, which);
    this.asked = path;
    const data = await this.try(() => this.bytes(path));
    if (!data || this.asked !== path) return;
    const shot = facts.frames[known.indexOf(nearest)]!;
    const { unit, radius } = which === "erased" ? facts.erased! : shot;
    // coordinates come divided by the radius of their step
    const scale = this.ui.view.trueScale ? (unit * radius) / (facts.frames.at(-1)?.radius || 1) : unit;
    this.frame = { data, scale, step: nearest, key: path };
    for (const next of [known[known.indexOf(nearest) + 1], known[known.indexOf(nearest) - 1]]) {
      if (next === undefined) continue;
      void this.bytes(paths.frame(this.ui.view.run, at.stream, at.position, facts.basis, next)).catch(() => undefined);
    }
  }

  private async bytes(path: string): Promise<Int16Array> {
    const known = this.frames.get(path);
    if (known) return known;
    const data = new Int16Array(await this.ui.source.bytes(path));
    if (this.frames.size >= MOST_FRAMES) this.frames.delete(this.frames.keys().next().value!);
    this.frames.set(path, data);
    return data;
  }

  private async try<T>(get: () => Promise<T>, quiet = false): Promise<T | null> {
    try {
      const got = await get();
      this.fault = "";
      return got;
    } catch (error) {
      if (!(quiet && error instanceof SourceError && error.status === 404)) {
        this.fault = error instanceof Error ? error.message : String(error);
      }
      return null;
    }
  }
}
