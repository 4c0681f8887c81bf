/** A cloud of points on a canvas: draws it, and tells which rows lie where. */
import { toPixel, type Box } from "./camera";
import { CONTEXT, GlPainter } from "./gl";
import { PlainPainter } from "./plain";
import { shuffled } from "./random";
import {
  PICK_RADIUS, fnv1a, placed,
  type CloudView, type Frame, type Painter, type Rgb, type RowLooks, type Scene, type Trail,
} from "./scene";

/** A finger of a picture: hash of its pixels, and the share of them that are colored. */
export interface Digest {
  hash: string;
  colored: number;
}

/** Draws rows of k coordinates (a multiple of 4, at most 16) on a canvas. */
export class Cloud {
  private painter: Painter | null = null;
  private rows: RowLooks = { count: 0, color: new Int16Array(), shape: new Uint8Array() };
  private order: Uint32Array<ArrayBuffer> = new Uint32Array();
  private colors: readonly Rgb[] = [];
  private frames: { a: Frame; b: Frame; k: number } | null = null;
  private trails: readonly Trail[] = [];
  private view: CloudView | null = null;
  private at: { key: readonly unknown[]; points: Float32Array } | null = null;

  /** Size in CSS pixels where the canvas stands in no page: one such canvas can draw many pictures, which are copied. */
  box: Box | null = null;

  /** @param options.plain Draw without WebGL2 even where there is one. */
  constructor(
    readonly canvas: HTMLCanvasElement,
    private readonly options: { plain?: boolean } = {},
  ) {
    canvas.addEventListener("webglcontextlost", this.lost);
    canvas.addEventListener("webglcontextrestored", this.restored);
    this.start();
  }

  /** A sentence for the user where drawing is not as it should be; else empty. */
  get note(): string {
    return this.painter?.note ?? "This browser can draw no points: it has neither WebGL2 nor a canvas.";
  }

  setRows(rows: RowLooks): void {
    if (rows.count !== this.rows.count) {
      this.order = shuffled(rows.count, 1);
      this.frames = null;
    }
    this.rows = rows;
    this.painter?.looks(rows, this.order);
  }

  /** Colors by code, red, green and blue from 0 to 255. */
  setPalette(colors: readonly Rgb[]): void {
    this.colors = colors;
    this.painter?.palette(colors);
  }

  /** The two frames that are mixed; `setRows` comes first. */
  setFrames(a: Frame, b: Frame, k: number): void {
    if (k % 4 !== 0 || k < 4 || k > 16)
      throw new RangeError(`A cloud has 4, 8, 12 or 16 coordinates, not ${k}.`);
    for (const frame of [a, b])
      if (frame.data.length !== this.rows.count * k)
        throw new RangeError(
          `A frame has ${frame.data.length} numbers where ${this.rows.count} rows of ${k} were expected.`,
        );
    this.frames = { a, b, k };
  }

  /** Paths drawn over the points; none by default. */
  setTrails(trails: readonly Trail[]): void {
    this.trails = trails;
  }

  draw(view: CloudView): void {
    this.view = view;
    const scene = this.scene();
    if (!scene || !this.painter) return;
    const width = Math.max(1, Math.round(scene.width * scene.ratio));
    const height = Math.max(1, Math.round(scene.height * scene.ratio));
    // Setting a size clears the canvas and takes new memory: only on a change.
    if (this.canvas.width !== width) this.canvas.width = width;
    if (this.canvas.height !== height) this.canvas.height = height;
    if (scene.view.plane.length !== 2 * scene.k)
      throw new RangeError(`A plane of ${scene.k} coordinates has ${2 * scene.k} numbers, not ${scene.view.plane.length}.`);
    this.painter.draw(scene);
  }

  /** Draws a view (null: the last one) and copies it to another canvas, in one task: later, the picture may be gone. */
  copy(view: CloudView | null, to: HTMLCanvasElement): void {
    if (view ?? this.view) this.draw(view ?? { ...this.view!, moving: false });
    // Setting a size clears it too.
    to.width = this.canvas.width;
    to.height = this.canvas.height;
    to.getContext("2d")?.drawImage(this.canvas, 0, 0);
  }

  /** The row nearest to a CSS pixel of the canvas, or -1 where none is near. Faint rows are passed over. */
  pick(x: number, y: number): number {
    const scene = this.scene();
    if (!scene) return -1;
    const points = this.points(scene);
    const dimmed = scene.view.dimmed;
    let best = -1;
    let least = Math.max(PICK_RADIUS, scene.view.size) ** 2;
    for (let row = 0; row < scene.rows; row++) {
      if (dimmed?.[row]) continue;
      const [px, py] = toPixel(points[2 * row]!, points[2 * row + 1]!, scene.view, scene);
      const far = (px - x) ** 2 + (py - y) ** 2;
      if (far <= least) [best, least] = [row, far];
    }
    return best;
  }

  /**
   * The rows inside a polygon, rising.
   * @param polygon Corners in CSS pixels of the canvas.
   */
  lasso(polygon: readonly (readonly [number, number])[]): Uint32Array {
    const scene = this.scene();
    if (!scene || polygon.length < 3) return new Uint32Array();
    // A mask is filled once and asked for each row: ten times as fast as a test of every edge.
    const mask = fillMask(polygon, scene.width, scene.height);
    const points = this.points(scene);
    const inside: number[] = [];
    for (let row = 0; row < scene.rows; row++) {
      if (scene.view.dimmed?.[row]) continue;
      const [px, py] = toPixel(points[2 * row]!, points[2 * row + 1]!, scene.view, scene).map(Math.floor) as [number, number];
      if (px >= 0 && py >= 0 && px < mask.width && py < mask.height && mask.data[4 * (py * mask.width + px) + 3]! > 127)
        inside.push(row);
    }
    return Uint32Array.from(inside);
  }

  /** Where each row lies: pairs of CSS pixels. For labels over the canvas. */
  pixels(): Float32Array {
    const scene = this.scene();
    if (!scene) return new Float32Array();
    const points = this.points(scene).slice();
    for (let i = 0; i < points.length; i += 2)
      points.set(toPixel(points[i]!, points[i + 1]!, scene.view, scene), i);
    return points;
  }

  /** Where each row lies on the plane, the offset taken off: pairs x, y. For `viewAri` and `fit`. */
  plane(): Float32Array {
    const scene = this.scene();
    return scene ? this.points(scene) : new Float32Array();
  }

  /** Draws the last view again and reads it in the same task: later, the picture may be gone. */
  digest(): Digest {
    if (!this.view || !this.painter) return { hash: "", colored: 0 };
    this.draw({ ...this.view, moving: false });
    const bytes = this.painter.read();
    let colored = 0;
    for (let at = 3; at < bytes.length; at += 4) if (bytes[at]) colored++;
    return { hash: fnv1a(bytes), colored: bytes.length ? (4 * colored) / bytes.length : 0 };
  }

  destroy(): void {
    this.canvas.removeEventListener("webglcontextlost", this.lost);
    this.canvas.removeEventListener("webglcontextrestored", this.restored);
    this.painter?.destroy();
    this.painter = null;
  }

  private start(): void {
    const gl = this.options.plain ? null : this.canvas.getContext("webgl2", CONTEXT);
    const flat = gl ? null : this.canvas.getContext("2d");
    this.painter = gl ? new GlPainter(gl) : flat ? new PlainPainter(flat) : null;
  }

  private readonly lost = (event: Event): void => {
    // Without this the browser never gives the context back.
    event.preventDefault();
    this.painter = null;
  };

  private readonly restored = (): void => {
    this.start();
    this.painter?.looks(this.rows, this.order);
    this.painter?.palette(this.colors);
    if (this.view) this.draw(this.view);
  };

  private scene(): Scene | null {
    if (!this.frames || !this.view) return null;
    return {
      ...this.frames, rows: this.rows.count, view: this.view, trails: this.trails,
      width: this.box?.width ?? (this.canvas.clientWidth || this.canvas.width),
      height: this.box?.height ?? (this.canvas.clientHeight || this.canvas.height),
      ratio: Math.min(globalThis.devicePixelRatio || 1, 2),
    };
  }

  /** Projected anew only when what they depend on has changed: hovering asks often. */
  private points(scene: Scene): Float32Array {
    const { view } = scene;
    const key = [
      scene.a, scene.b, view.mix, view.plane, view.offset?.[0], view.offset?.[1],
      view.trueScale, view.trueRadius, view.shift, view.moved,
    ];
    if (!this.at || key.some((part, i) => part !== this.at!.key[i]))
      this.at = { key, points: placed(scene.a, scene.b, scene.k, scene.rows, view) };
    return this.at.points;
  }
}

function fillMask(polygon: readonly (readonly [number, number])[], width: number, height: number): ImageData {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.ceil(width));
  canvas.height = Math.max(1, Math.ceil(height));
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.beginPath();
  polygon.forEach((corner) => context.lineTo(...(corner as [number, number])));
  context.closePath();
  context.fill("evenodd");
  return context.getImageData(0, 0, canvas.width, canvas.height);
}
