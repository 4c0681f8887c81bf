/** The clouds of small pictures: of every layer at one step, or of several steps of one place. */
import { centroidsOf, project, sightOf, spread, viewAri, withinOf, type Sight } from "../core";
import type { At, Got, PlaceCloud, Scene } from "./scene.svelte";

const MOST_STEPS = 8;

/** What a small picture shows. */
export type Tile = { key: string; at: At; step: number; here: boolean };

export class Tiles {
  /** Clouds fetched so far, by layer; of one position and basis. */
  clouds: Readonly<Record<string, PlaceCloud>> = $state.raw({});
  /** Why a layer has none: a report may not carry it. */
  faults: Readonly<Record<string, string>> = $state.raw({});
  private of = "";
  private turn = 0;

  constructor(private readonly scene: Scene) {}

  private readonly kind = $derived.by(() => this.scene.ui.view.multiples);
  readonly list: Tile[] = $derived.by(() => {
    const { scene, kind } = this;
    const { position, stream, step, steps } = scene;
    if (kind === "streams")
      return scene.file().streams.map((one) => ({ key: one, at: { stream: one, position }, step, here: one === stream }));
    if (kind !== "steps") return [];
    const shown = spread(steps, MOST_STEPS);
    const near = shown.reduce((best, one) => (Math.abs(one - step) < Math.abs(best - step) ? one : best), shown[0] ?? 0);
    return shown.map((one) => ({ key: String(one), at: { stream, position }, step: one, here: one === near }));
  });
  /** Layers whose clouds are needed. */
  readonly needed = $derived.by(() => [...new Set(this.list.map((one) => one.at.stream))]);
  readonly done = $derived.by(() => this.needed.filter((one) => one in this.clouds || one in this.faults).length);

  /** Fetches what is missing, one layer after the other: the first look at a place is reckoned by the server. */
  async load(needed: readonly string[], position: string, basis: string, lines: number): Promise<void> {
    const of = JSON.stringify([this.scene.run, position, basis, lines]);
    if (this.of !== of) this.clouds = {};
    this.of = of;
    const turn = ++this.turn;
    this.faults = {};
    for (const stream of needed) {
      if (this.turn !== turn) return;
      if (stream in this.clouds) continue;
      try {
        const cloud = await this.scene.cloudOf({ stream, position }, basis);
        if (this.of !== of) return;
        // kept even where another call has taken over
        this.clouds = { ...this.clouds, [stream]: cloud };
      } catch (error) {
        if (this.of !== of) return;
        this.faults = { ...this.faults, [stream]: error instanceof Error ? error.message : String(error) };
      }
    }
  }
}

/** A frame as it lies on the plane of its own place, for given labels of its rows. */
export function seenFrom(cloud: PlaceCloud, codes: readonly number[], groups: number, focus: readonly number[]): Sight | null {
  const { facts, reference } = cloud;
  if (!reference || reference.data.length !== codes.length * facts.k) return null;
  const centroids = centroidsOf(reference.data, facts.k, codes, groups, reference.unit);
  return sightOf(facts.basis, centroids, focus, withinOf(reference.data, codes, centroids, reference.unit));
}

/** How well the groups in focus can be told apart in a picture; null where it cannot be said. */
export function seenAri(sight: Sight, got: Got, codes: readonly number[], focus: readonly number[]): number | null {
  return viewAri(project(got.data, sight.plane, got.unit), codes.map((code) => (focus.includes(code) ? code : -1)));
}
