/** All frames of the cloud shown, fetched when a path or a history is asked for. */
import type { Got, PlaceCloud, Scene } from "./scene.svelte";

/** Frames held for paths; of a longer series, steps are left out evenly. */
const MOST_BYTES = 64 * 2 ** 20;

export class Paths {
  /** Rising in step; null until all are here. */
  frames: readonly Got[] | null = $state.raw(null);
  /** The cloud that they are of. */
  of: PlaceCloud | null = $state.raw(null);
  /** Frames fetched so far. */
  done = $state(0);
  total = $state(0);
  /** Every so many steps; 1 is all. */
  every = $state(1);
  fault = $state("");

  constructor(private readonly scene: Scene) {}

  /** Fetches them once a cloud. */
  async load(cloud: PlaceCloud): Promise<void> {
    if (this.of === cloud) return;
    this.of = cloud;
    this.frames = null;
    this.fault = "";
    this.done = 0;
    const { facts } = cloud;
    const known = facts.frames.map((one) => one.step);
    this.every = Math.max(1, Math.ceil((known.length * facts.rows * facts.k * 2) / MOST_BYTES));
    const steps = known.filter((_, at) => at % this.every === 0 || at === known.length - 1);
    this.total = steps.length;
    try {
      const frames: Got[] = [];
      for (const step of steps) {
        frames.push((await this.scene.gotOf(cloud, step, false))!);
        if (this.of !== cloud) return;
        this.done += 1;
      }
      this.frames = frames;
    } catch (error) {
      if (this.of !== cloud) return;
      // asked for again the next time
      this.of = null;
      this.fault = error instanceof Error ? error.message : String(error);
    }
  }

  /** The frames of a cloud, if they are here. */
  ready(cloud: PlaceCloud | null): readonly Got[] | null {
    return cloud !== null && this.of === cloud ? this.frames : null;
  }
}
