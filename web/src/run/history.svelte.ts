/** What was answered to one row at every step, fetched when somebody looks at it. */
import { paths, SourceError, spread, type Answers } from "../core";
import type { Scene } from "./scene.svelte";

export type Said = { step: number; answer: string | null; correct: 1 | 0 | null };

/** More steps than this are not asked for, but a part that is spread evenly. */
const MOST_STEPS = 80;
/** Answers kept, over all steps. */
const MOST_KEPT = 2_000_000;

export class History {
  said: readonly Said[] = $state.raw([]);
  total = $state(0);
  fault = $state("");
  private readonly kept = new Map<string, Answers>();
  private turn = 0;

  constructor(private readonly scene: Scene) {}

  /** Fetches the answers to a row, step by step. */
  async load(row: number, steps: readonly number[]): Promise<void> {
    const turn = ++this.turn;
    const asked = spread(steps, MOST_STEPS);
    const found: Said[] = [];
    [this.said, this.total, this.fault] = [[], asked.length, ""];
    for (const step of asked) {
      try {
        const answers = await this.answers(step);
        if (this.turn !== turn) return;
        found.push({ step, answer: answers?.predicted[row] ?? null, correct: answers?.correct[row] ?? null });
        this.said = [...found];
      } catch (error) {
        if (this.turn === turn) this.fault = error instanceof Error ? error.message : String(error);
        return;
      }
    }
  }

  /** A step without answers is no fault: a run may not have recorded any. */
  private async answers(step: number): Promise<Answers | null> {
    const path = paths.answers(this.scene.run, step);
    const here = this.kept.get(path);
    if (here) return here;
    try {
      const got = await this.scene.ui.source.json<Answers>(path);
      this.kept.set(path, got);
      const room = Math.max(1, Math.floor(MOST_KEPT / Math.max(1, got.correct.length)));
      for (const old of this.kept.keys()) if (this.kept.size > room) this.kept.delete(old);
      return got;
    } catch (error) {
      if (error instanceof SourceError && error.status === 404) return null;
      throw error;
    }
  }
}
