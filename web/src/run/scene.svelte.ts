/** What the run screen shows: the cursor with its defaults, the rows and the cloud's coordinates. */
import { carriesData, FrameCache, MOST_SELECTED, paths, SourceError, type Answers, type CloudFacts, type Maybe, type Rows, type RunFile } from "../core";
import { MOST_FOCUS } from "../lib/colors";
import type { Ui } from "../lib/ui.svelte";
import { dosesAt, nearestDose } from "./doses";
import { Paths } from "./paths.svelte";

export type Facts = Omit<CloudFacts, "erased" | "frames"> & {
  frames: (CloudFacts["frames"][number] & { null_ari_k?: number | null })[];
  erased: { unit: number; radius: number } | null };
/** Where a cloud was recorded. */
export type At = { stream: string; position: string };
export type Got = {
  data: Int16Array<ArrayBuffer>; unit: number; radius: number; step: number; erased: boolean;
  /** What the coordinates mean: frames of one place and basis can be mixed. */
  place: string;
};
export type Frame = Got & {
  /** Whole numbers times this are coordinates as they are drawn. */
  scale: number;
};
/** A cloud that can be drawn: its facts, and the frame that the plane is taken from. */
export type PlaceCloud = { at: At; facts: Facts; reference: Got | null };

const MOST_BYTES = 96 * 2 ** 20;

export class Scene {
  rows: Rows | null = $state.raw(null);
  answers: Answers | null = $state.raw(null);
  fault = $state("");
  playing = $state(false);
  /** Task that the pointer is on. */
  hover: number | null = $state(null);
  readonly frames: FrameCache;
  /** The cloud shown, which is the one before while another is fetched. */
  cloud: PlaceCloud | null = $state.raw(null);
  private got: Got | null = $state.raw(null);
  /** The step that `answers` are of. */
  private answered = $state(NaN);
  private asked = "";
  private awaited = "";
  /** All frames of the cloud shown, once somebody asks for them. */
  readonly paths = new Paths(this);

  constructor(
    readonly ui: Ui,
    readonly file: () => RunFile,
  ) {
    this.frames = new FrameCache(ui.source, MOST_BYTES);
  }

  // Through values of their own: a view is replaced as a whole, and what did not change must be
  // neither fetched nor reckoned anew.
  readonly run = $derived.by(() => this.ui.view.run);
  private readonly asksStep = $derived.by(() => this.ui.view.step);
  private readonly asksColor = $derived.by(() => this.ui.view.color);
  private readonly nulls = $derived.by(() => this.ui.view.nulls);
  private readonly chosen = $derived.by(() => this.ui.view.focus);
  readonly erased = $derived.by(() => this.ui.view.erased);
  private readonly trueScale = $derived.by(() => this.ui.view.trueScale);
  readonly steps = $derived.by(() => this.file().steps);
  readonly step = $derived.by(() => {
    const wanted = this.asksStep;
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
  readonly doses = $derived.by(() => dosesAt(this.file(), this));
  /** What a shift did here at the dose nearest to the one asked for; null where none was measured. */
  readonly dosed = $derived.by(() => nearestDose(this.doses, this.ui.view.pull ? this.ui.view.dose : 0));
  /** What can be chosen; a bent map is made when it is asked for, which a report cannot. */
  readonly bases = $derived.by(() => ["tasks", "variance", ...(!carriesData(document) && this.file().bases?.includes("umap") ? ["umap"] : [])]);
  /** The place whose twin is not carried, as in a small report: it keeps the axes of its tasks. */
  private twinless = $state("");
  readonly basis = $derived.by(() => {
    const { basis } = this.ui.view;
    if (basis !== "tasks" && this.bases.includes(basis)) return basis;
    return this.nulls && this.twinless !== keyOf(this) ? "twin" : "tasks";
  });
  readonly color = $derived.by(() => {
    const wanted = this.asksColor;
    // what is shuffled are the tasks, and their codes name nothing else
    if (this.nulls) return this.file().color;
    return this.rows && wanted in this.rows.labels ? wanted : this.file().color;
  });
  readonly values = $derived.by(() => this.rows?.labels[this.color]?.values ?? []);
  readonly facts = $derived.by(() => this.cloud?.facts ?? null);
  readonly frame: Frame | null = $derived.by(() => this.got && { ...this.got, scale: this.scaleOf(this.got) });
  /** The frame that the plane is taken from: that of the step of the basis. */
  readonly reference: Frame | null = $derived.by(() => {
    const got = this.cloud?.reference;
    return got ? { ...got, scale: this.scaleOf(got) } : null;
  });
  /** All that the view asks for is here. */
  readonly settled = $derived.by(() => {
    const { cloud, got } = this;
    if (!cloud || !this.rows || this.answered !== this.step) return false;
    const { at, facts } = cloud;
    if (at.stream !== this.stream || at.position !== this.position || facts.basis !== this.basis) return false;
    if (!facts.frames.length) return true;
    const erased = this.erased && facts.erased !== null;
    return got !== null && got.erased === erased && got.step === nearestStep(facts, this.step, erased);
  });
  /** Codes of the rows shown in the cloud. */
  readonly codes = $derived.by(() => (this.facts ? this.codesOf(this.facts.index) : []));
  /** Tasks in focus: those chosen, or the four of most rows. */
  readonly focus = $derived.by(() => {
    const chosen = this.chosen.map((name) => this.values.indexOf(name)).filter((code) => code >= 0);
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

  /** Selects rows of the run. */
  choose(rows: readonly number[]): void {
    const select = [...rows].sort((a, b) => a - b).slice(0, MOST_SELECTED);
    this.ui.set({ select });
    this.ui.said = this.ui.t("said.selected", { n: select.length });
  }

  /** Selects rows of the cloud, by their place in it. */
  choosePlaces(places: Iterable<number>): void {
    this.choose([...places].map((place) => this.facts!.index[place]!));
  }

  async loadRows(): Promise<void> {
    this.rows = await this.load(() => this.ui.source.json<Rows>(paths.rows(this.run)));
  }

  async loadAnswers(step: number): Promise<void> {
    const got = await this.load(() => this.ui.source.json<Answers>(paths.answers(this.run, step)), true);
    if (step !== this.step) return;
    this.answers = got;
    this.answered = step;
  }

  /** Fetches a cloud and the frame to show of it; until both are here, the one before stays. */
  async loadCloud(stream: string, position: string, basis: string): Promise<void> {
    const asked = (this.awaited = JSON.stringify([this.run, stream, position, basis]));
    const cloud = await this.load(() => this.cloudOf({ stream, position }, basis), basis === "twin");
    const got = cloud && (await this.load(() => this.gotOf(cloud, this.step, this.erased)));
    if (this.awaited !== asked) return;
    if (!cloud && basis === "twin") {
      this.twinless = keyOf({ stream, position });
      return;
    }
    this.cloud = cloud;
    this.got = got;
  }

  /** The cloud of a place. */
  async cloudOf(at: At, basis: string): Promise<PlaceCloud> {
    const facts = await this.ui.source.json<Facts>(paths.cloud(this.run, at.stream, at.position, basis));
    const cloud = { at, facts, reference: null };
    return { ...cloud, reference: await this.gotOf(cloud, facts.basis_step ?? facts.frames.at(-1)?.step ?? 0, false) };
  }

  /** The recorded frame nearest to a step; null where the cloud has none. */
  async gotOf({ at, facts }: PlaceCloud, step: number, erased: boolean): Promise<Got | null> {
    if (!facts.frames.length) return null;
    const gone = erased && facts.erased !== null;
    const nearest = nearestStep(facts, step, gone);
    const data = await this.frames.get(this.frameAt(at, facts.basis, gone ? "erased" : nearest));
    const { unit, radius } = gone ? facts.erased! : facts.frames.find((one) => one.step === nearest)!;
    const place = JSON.stringify([at.stream, at.position, facts.basis, facts.basis_step]);
    return { data, unit, radius, step: nearest, erased: gone, place };
  }

  /** Fetches the coordinates of a step, and those of its neighbors ahead of time. */
  async loadFrame(facts: Facts, at: At, step: number, erased: boolean): Promise<void> {
    const { cloud } = this;
    // another place is on its way, with its frame
    if (!cloud || cloud.facts !== facts || at.stream !== cloud.at.stream || at.position !== cloud.at.position) return;
    const known = facts.frames.map((one) => one.step);
    if (!known.length) return;
    const asked = (this.asked = JSON.stringify([at, step, erased]));
    const got = await this.load(() => this.gotOf(cloud, step, erased));
    if (!got || this.asked !== asked || this.cloud !== cloud) return;
    this.got = got;
    const i = known.indexOf(got.step);
    const next = [i + 1, i - 1, i + 2].map((one) => known[one]).filter((one) => one !== undefined);
    this.frames.prefetch(next.map((one) => this.frameAt(at, facts.basis, one)));
  }

  /** Labels of rows by their number, as they are colored. */
  codesOf(index: readonly number[]): number[] {
    if (!this.rows) return [];
    const all = this.nulls ? this.rows.null_task : (this.rows.labels[this.color]?.codes ?? []);
    return index.map((row) => all[row] ?? -1);
  }

  /** Labels of rows as the permuted twin has them; null where there is none for the label shown. */
  twinOf(index: readonly number[]): number[] | null {
    const twin = this.rows?.null_task;
    return twin && this.color === this.file().color ? index.map((row) => twin[row] ?? -1) : null;
  }

  private frameAt(at: At, basis: string, which: number | "erased"): string {
    return paths.frame(this.run, at.stream, at.position, basis, which);
  }

  /** Coordinates come divided by the radius of their step; in true scale all are divided by the last one. */
  private scaleOf({ unit, radius }: Got): number {
    return this.trueScale ? (unit * radius) / (this.facts?.frames.at(-1)?.radius || 1) : unit;
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

  /** What was asked for, or null; what went wrong is shown. */
  async load<T>(get: () => Promise<T>, quiet = false): Promise<T | null> {
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

const keyOf = ({ stream, position }: At): string => JSON.stringify([stream, position]);

/** The step of a cloud nearest to the one asked for. */
export function nearestStep({ frames }: Facts, step: number, erased = false): number {
  const known = frames.map((one) => one.step);
  // what was erased was erased from the last step
  if (erased) return known.at(-1)!;
  return known.reduce((best, one) => (Math.abs(one - step) < Math.abs(best - step) ? one : best));
}
