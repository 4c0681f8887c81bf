/** What a cloud draws, and the reckoning that all ways to draw share. */
import type { Camera } from "./camera";

/** One checkpoint of a cloud. */
export interface Frame {
  /** Row-major [row, k]. */
  data: Int16Array<ArrayBuffer>;
  /** A coordinate is its whole number times this. */
  unit: number;
  /** The radius that the coordinates were divided by. */
  radius: number;
}

/** What is fixed for a set of rows. */
export interface RowLooks {
  count: number;
  /** Index into the palette; below 0 is gray. */
  color: Int16Array;
  /** 0 a dot (no answer), 1 a disk (right), 2 a cross (wrong). */
  shape: Uint8Array;
}

/** A color of red, green and blue, 0 to 255. */
export type Rgb = readonly [number, number, number];

/** How the cloud is looked at. */
export interface CloudView extends Camera {
  /** 0 is the first frame, 1 the second. */
  mix: number;
  /** Two orthonormal rows of k. */
  plane: Float32Array;
  /** The point of the plane that is drawn in the middle. */
  offset?: readonly [number, number];
  /** Diameter of a point in CSS pixels. */
  size: number;
  /** 1 for a row that is drawn faint. A new array for a new choice. */
  dimmed?: Uint8Array;
  /** 1 for a row that stands back behind others; unlike a faint one it can be chosen. A new array for a new choice. */
  quiet?: Uint8Array;
  /** 1 for a row that is drawn larger. A new array for a new choice. */
  marked?: Uint8Array;
  /** 1 for a row that `shift` moves. A new array for a new choice. */
  moved?: Uint8Array;
  /** Added to the rows of `moved`, in coordinates of the frame. */
  shift?: Float32Array;
  /** While the picture moves, a part of the rows is drawn. */
  moving: boolean;
  /** Undo the division by the radius: a cloud that grows is seen to grow. */
  trueScale: boolean;
  /** The radius drawn as one unit in true scale; by default that of the second frame. */
  trueRadius?: number;
}

/** The path of a row through the frames. */
export interface Trail {
  /** Row-major [step, k], in coordinates. */
  points: Float32Array;
  /** Index into the palette. */
  color: number;
}

/** Rows drawn while the picture moves: rasterizing is what a frame costs. */
export const MOST_MOVING = 25_000;

/** Radius in CSS pixels within which a point is picked. */
export const PICK_RADIUS = 9;

/** What each frame's whole numbers are multiplied by, the share of the mix included. */
export function scales(a: Frame, b: Frame, view: CloudView): [number, number] {
  const one = view.trueRadius ?? b.radius;
  const grown = (frame: Frame): number => (view.trueScale && one > 0 ? frame.radius / one : 1);
  return [(1 - view.mix) * a.unit * grown(a), view.mix * b.unit * grown(b)];
}

/** Every row on the plane, the offset taken off: pairs x, y. */
export function placed(a: Frame, b: Frame, k: number, rows: number, view: CloudView): Float32Array {
  const [scaleA, scaleB] = scales(a, b, view);
  const { plane } = view;
  const [left, down] = view.offset ?? [0, 0];
  const points = new Float32Array(2 * rows);
  const [shiftX, shiftY] = shiftOnPlane(view, k);
  for (let row = 0; row < rows; row++) {
    let x = -left;
    let y = -down;
    for (let i = 0; i < k; i++) {
      const value = a.data[row * k + i]! * scaleA + b.data[row * k + i]! * scaleB;
      x += value * plane[i]!;
      y += value * plane[k + i]!;
    }
    const moved = view.moved?.[row] ? 1 : 0;
    points[2 * row] = x + moved * shiftX;
    points[2 * row + 1] = y + moved * shiftY;
  }
  return points;
}

/** Where `shift` leads on the plane. */
export function shiftOnPlane(view: CloudView, k: number): [number, number] {
  let x = 0;
  let y = 0;
  view.shift?.forEach((value, i) => {
    x += value * view.plane[i]!;
    y += value * view.plane[k + i]!;
  });
  return [x, y];
}

/** A trail on the plane, the offset taken off: pairs x, y. */
export function placedTrail(trail: Trail, k: number, view: CloudView): Float32Array {
  const [left, down] = view.offset ?? [0, 0];
  const points = new Float32Array((2 * trail.points.length) / k);
  for (let step = 0; step < points.length / 2; step++) {
    let x = -left;
    let y = -down;
    for (let i = 0; i < k; i++) {
      x += trail.points[step * k + i]! * view.plane[i]!;
      y += trail.points[step * k + i]! * view.plane[k + i]!;
    }
    points[2 * step] = x;
    points[2 * step + 1] = y;
  }
  return points;
}

/** FNV-1a of bytes, as eight hexadecimal digits. */
export function fnv1a(bytes: Uint8Array): string {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, "0");
}

/** Something that can draw a cloud. */
export interface Painter {
  /** Said to the user, or empty. */
  readonly note: string;
  looks(rows: RowLooks, order: Uint32Array<ArrayBuffer>): void;
  palette(colors: readonly Rgb[]): void;
  draw(scene: Scene): void;
  /** The picture as drawn last: RGBA bytes. To be called in the task that drew. */
  read(): Uint8Array;
  destroy(): void;
}

/** All that a picture depends on. */
export interface Scene {
  a: Frame;
  b: Frame;
  k: number;
  rows: number;
  view: CloudView;
  trails: readonly Trail[];
  /** Canvas size in CSS pixels, and device pixels for each. */
  width: number;
  height: number;
  ratio: number;
}
