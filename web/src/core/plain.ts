/** Draws a cloud without a graphics card: slower and plainer, but the same points. */
import { toPixel } from "./camera";
import { MOST_MOVING, placed, placedTrail, type Painter, type Rgb, type RowLooks, type Scene } from "./scene";
import { FAINTEST } from "./shaders";

/** Rows drawn while the picture moves; a canvas is about five times as slow. */
const MOST_PLAIN = MOST_MOVING / 5;

/** The painter of browsers without WebGL2. */
export class PlainPainter implements Painter {
  readonly note = "This browser has no WebGL2: points are drawn more slowly. Turn hardware acceleration on to change this.";
  private rows: RowLooks | null = null;
  private order: Uint32Array = new Uint32Array();
  private colors: readonly Rgb[] = [];

  constructor(private readonly context: CanvasRenderingContext2D) {}

  looks(rows: RowLooks, order: Uint32Array): void {
    this.rows = rows;
    this.order = order;
  }

  palette(colors: readonly Rgb[]): void {
    this.colors = colors;
  }

  draw(scene: Scene): void {
    const { context } = this;
    const { view } = scene;
    context.setTransform(scene.ratio, 0, 0, scene.ratio, 0, 0);
    context.clearRect(0, 0, scene.width, scene.height);
    const points = placed(scene.a, scene.b, scene.k, scene.rows, view);
    const count = view.moving ? Math.min(scene.rows, MOST_PLAIN) : scene.rows;
    for (let i = 0; i < count; i++) {
      const row = this.order[i]!;
      const [x, y] = toPixel(points[2 * row]!, points[2 * row + 1]!, view, scene);
      this.point(x, y, row, view.size * (view.marked?.[row] ? 1.9 : 1), view.dimmed?.[row] ? 0.12 : view.quiet?.[row] ? 0.3 : 0.85);
    }
    context.globalAlpha = 1;
    for (const trail of scene.trails) this.trail(placedTrail(trail, scene.k, view), trail.color, scene);
  }

  read(): Uint8Array {
    const { canvas } = this.context;
    return new Uint8Array(this.context.getImageData(0, 0, canvas.width, canvas.height).data.buffer);
  }

  destroy(): void {
    this.rows = null;
  }

  private ink(code: number): string {
    const color = code >= 0 && this.colors.length ? this.colors[code % this.colors.length]! : [140, 140, 140];
    return `rgb(${color.join(" ")})`;
  }

  private point(x: number, y: number, row: number, size: number, alpha: number): void {
    const { context } = this;
    const shape = this.rows?.shape[row] ?? 0;
    const half = (size * (shape === 0 ? 0.7 : 1)) / 2;
    context.globalAlpha = alpha;
    context.fillStyle = context.strokeStyle = this.ink(this.rows?.color[row] ?? -1);
    context.beginPath();
    if (shape === 2) {
      context.moveTo(x - half, y - half);
      context.lineTo(x + half, y + half);
      context.moveTo(x + half, y - half);
      context.lineTo(x - half, y + half);
      context.stroke();
    } else {
      context.arc(x, y, half, 0, 2 * Math.PI);
      context.fill();
    }
  }

  private trail(points: Float32Array, code: number, scene: Scene): void {
    const { context } = this;
    context.strokeStyle = this.ink(code);
    const at = (i: number): [number, number] => toPixel(points[i]!, points[i + 1]!, scene.view, scene);
    for (let i = 2; i < points.length; i += 2) {
      context.globalAlpha = FAINTEST + ((1 - FAINTEST) * i) / (points.length - 2);
      context.beginPath();
      context.moveTo(...at(i - 2));
      context.lineTo(...at(i));
      context.stroke();
    }
  }
}
