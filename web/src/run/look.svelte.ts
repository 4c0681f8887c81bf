/** How the cloud of a run is looked at: its plane, what stands out, and where its labels lie. */
import {
  centroidsOf, centroidShift, fitAll, framed, movedMost, project, sightOf, toPixel, tour, trailsOf, withinOf,
  type Box, type Camera, type Trail,
} from "../core";
import type { Ui } from "../lib/ui.svelte";
import type { Scene } from "./scene.svelte";
import { seenAri, seenFrom } from "./tiles.svelte";

/** More selected rows than this are not drawn larger: the others stand back instead. */
const MOST_LARGE = 60;
const MOST_PATHS = 60;
/** Paths drawn where nothing is selected. */
const FEW_PATHS = 12;
const MOST_JUDGED = 6000;

export class Look {
  /** Seconds since the tour began. */
  clock = $state(0);

  constructor(
    readonly ui: Ui,
    readonly scene: Scene,
  ) {}

  // Through values of their own, for the reason that is given in the scene.
  /** Asked for less motion, the cloud does not turn. */
  private readonly still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  private readonly asksTour = $derived.by(() => this.ui.view.tour);
  readonly tours = $derived.by(() => this.asksTour && !this.still);
  private readonly pull = $derived.by(() => this.ui.view.pull);
  // points are moved as far as the numbers beside them were measured
  private readonly dose = $derived.by(() => this.scene.dosed?.dose ?? this.ui.view.dose);
  private readonly select = $derived.by(() => this.ui.view.select);
  private readonly trueScale = $derived.by(() => this.ui.view.trueScale);
  private readonly follows = $derived.by(() => this.ui.view.trails);
  private readonly framing = $derived.by(() => this.ui.view.camera);

  readonly k = $derived.by(() => this.scene.facts?.k ?? 8);
  private readonly fits = $derived.by(() => this.scene.frame?.data.length === this.scene.codes.length * this.k);
  private readonly centroids = $derived.by(() => {
    const { frame, codes, values } = this.scene;
    return frame && this.fits ? centroidsOf(frame.data, this.k, codes, values.length, frame.scale) : null;
  });
  /** The plane at rest: through the tasks in focus at the step of the basis, whatever was shown before. */
  readonly sight = $derived.by(() => {
    const { reference, codes, values, focus, facts } = this.scene;
    if (!reference || !facts || reference.data.length !== codes.length * this.k) return null;
    const centroids = centroidsOf(reference.data, this.k, codes, values.length, reference.scale);
    return sightOf(facts.basis, centroids, focus, withinOf(reference.data, codes, centroids, reference.scale));
  });
  private readonly plane = $derived.by(() => (this.sight && this.tours ? tour(this.sight.plane, this.clock) : this.sight?.plane));
  private readonly pulled = $derived.by(() => {
    if (!this.pull || !this.centroids) return null;
    const [a, b] = this.pull.map((name) => this.scene.values.indexOf(name)) as [number, number];
    return a < 0 || b < 0 ? null : { code: a, shift: centroidShift(this.centroids, a, b, this.dose) };
  });
  /** What is marked: selected rows, and those with a path; many stand out by the others' standing back. */
  private readonly emphasis = $derived.by(() => {
    const index = this.scene.facts?.index ?? [];
    const chosen = new Set(this.select);
    const paths = new Set(this.followed);
    const stands = Uint8Array.from(index, (row, place) => (chosen.has(row) || paths.has(place) ? 1 : 0));
    const count = stands.reduce((sum, one) => sum + one, 0);
    if (count > MOST_LARGE) return { quiet: stands.map((one) => 1 - one) };
    return paths.size ? { marked: stands, quiet: stands.map((one) => 1 - one) } : { marked: stands };
  });
  private readonly frames = $derived.by(() => (this.follows ? this.scene.paths.ready(this.scene.cloud) : null));
  /** Rows of the cloud whose paths are drawn: those selected, else those that moved most over the training. */
  private readonly followed = $derived.by(() => {
    const { frames, k } = this;
    if (!frames?.length || this.scene.erased) return [];
    const chosen = new Set(this.select);
    const selected = (this.scene.facts?.index ?? []).flatMap((row, place) => (chosen.has(row) ? [place] : []));
    if (selected.length) return selected.slice(0, MOST_PATHS);
    return movedMost(frames[0]!, frames.at(-1)!, k, FEW_PATHS, this.inFocus);
  });
  /** Paths drawn over the points. */
  readonly trails: readonly Trail[] = $derived.by(() => {
    const { frames, k, scene } = this;
    if (!frames) return [];
    const { color } = scene.looks;
    const radius = this.trueScale ? scene.facts?.frames.at(-1)?.radius : undefined;
    return trailsOf(frames, k, this.followed, (place) => color[place]!, radius || undefined);
  });
  /** Places in the cloud of the rows whose tasks are in focus. */
  readonly inFocus = $derived.by(() => {
    const { codes, focus } = this.scene;
    return new Set(codes.flatMap((code, place) => (focus.includes(code) ? [place] : [])));
  });
  /** Nothing that is drawn is on its way. */
  readonly settled = $derived.by(() => !this.follows || this.frames !== null || this.scene.paths.fault !== "");
  /** What is said over the cloud. */
  readonly note = $derived.by(() => {
    const { paths } = this.scene;
    if (this.asksTour && this.still) return this.ui.t("cloud.tour.still");
    if (!this.follows || this.frames) return "";
    return paths.fault || this.ui.t("cloud.paths.loading", { done: paths.done, total: paths.total });
  });
  /** What the paths are, in words. */
  readonly pathWords = $derived.by(() => {
    if (!this.frames?.length) return "";
    const values = {
      n: this.followed.length, selected: this.select.length, steps: this.frames.length,
      from: this.frames[0]!.step, to: this.frames.at(-1)!.step,
    };
    return this.ui.t(this.select.length ? "cloud.paths.selected" : "cloud.paths.most", values);
  });
  readonly view = $derived.by(() => {
    const { plane, sight, pulled } = this;
    if (!plane || !sight || !this.centroids) return null;
    const { codes, dimmed, facts } = this.scene;
    return {
      plane, offset: sight.middle, dimmed, moving: this.tours, ...this.emphasis,
      trueScale: this.trueScale, trueRadius: facts!.frames.at(-1)?.radius ?? 1,
      ...(pulled ? { moved: Uint8Array.from(codes, (code) => (code === pulled.code ? 1 : 0)), shift: pulled.shift } : {}),
    };
  });

  /**
   * The camera of the link; without one, all points of the step of the basis fill the canvas, and
   * those of the step shown where they reach farther.
   */
  camera(box: Box): Camera {
    if (this.framing) return framed(this.framing, box);
    return this.filled([this.scene.reference, this.scene.frame], box);
  }

  /** The camera in which the points of some frames fill the canvas. */
  filled(frames: readonly Scene["frame"][], box: Box): Camera {
    const { inFocus, sight } = this;
    if (!sight) return fitAll([], box);
    const known = frames.filter((one) => one !== null && one.data.length === this.scene.codes.length * this.k);
    const clouds = known.map((one) => {
      const points = project(one!.data, sight.plane, one!.scale);
      return points.map((x, i) => x - sight.middle[i % 2]!);
    });
    return fitAll(clouds, box, (row) => inFocus.has(row));
  }

  /** Names of the tasks in focus, in pixels of the canvas. */
  labels(camera: Camera, box: Box): { x: number; y: number; text: string }[] {
    const { view, centroids, pulled } = this;
    if (!view || !centroids) return [];
    const means = project(centroids.values, view.plane);
    return this.scene.focus.filter((code) => centroids.count[code]).map((code) => {
      const by = pulled?.code === code ? project(pulled.shift, view.plane) : [0, 0];
      const [x, y] = toPixel(means[2 * code]! - view.offset[0] + by[0]!, means[2 * code + 1]! - view.offset[1] + by[1]!, camera, box);
      return { x, y, text: this.scene.values[code]! };
    });
  }

  /** How well the tasks in focus can be told apart on screen, and shuffled ones: two k-means, for moments of rest. */
  seen(): { view: number | null; chance: number | null } {
    const { frame, codes, cloud, facts, focus, values } = this.scene;
    if (!this.sight || !frame || !facts || !this.fits || codes.length > MOST_JUDGED) return { view: null, chance: null };
    const twin = this.scene.twinOf(facts.index);
    const other = twin && seenFrom(cloud!, twin, values.length, focus);
    return {
      view: seenAri(this.sight, frame, codes, focus), chance: other ? seenAri(other, frame, twin, focus) : null,
    };
  }
}
