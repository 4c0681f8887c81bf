/**
 * From the plane to the screen. A plane's unit is the cloud's root mean square
 * radius; the camera says how large it is drawn and where. Pixels are CSS
 * pixels from the top left of the canvas, y downward.
 */

/** How far the view is zoomed, and the shift of its middle in CSS pixels (y downward). */
export interface Camera {
  zoom: number;
  pan: readonly [number, number];
}

/** Size of a canvas in CSS pixels. */
export interface Box {
  width: number;
  height: number;
}

/** At zoom 1 the shorter side of the canvas is this many radii across. */
const RADII = 4.4;
const LEAST_ZOOM = 0.05;
const MOST_ZOOM = 400;

/** The whole cloud, in the middle. */
export const HOME: Camera = { zoom: 1, pan: [0, 0] };

/** CSS pixels for one unit of the plane. */
export function pixelsPerUnit(camera: Camera, box: Box): number {
  return (camera.zoom * Math.max(1, Math.min(box.width, box.height))) / RADII;
}

/** Where a point of the plane lies on the canvas, in CSS pixels. */
export function toPixel(x: number, y: number, camera: Camera, box: Box): [number, number] {
  const size = pixelsPerUnit(camera, box);
  return [box.width / 2 + camera.pan[0] + x * size, box.height / 2 + camera.pan[1] - y * size];
}

/** Which point of the plane a CSS pixel shows. */
export function fromPixel(px: number, py: number, camera: Camera, box: Box): [number, number] {
  const size = pixelsPerUnit(camera, box);
  return [(px - box.width / 2 - camera.pan[0]) / size, -(py - box.height / 2 - camera.pan[1]) / size];
}

/** Zooms by `factor`; what lies at the pointer stays there. */
export function zoomAt(camera: Camera, factor: number, px: number, py: number, box: Box): Camera {
  const zoom = Math.min(MOST_ZOOM, Math.max(LEAST_ZOOM, camera.zoom * factor));
  const ratio = zoom / camera.zoom;
  const [dx, dy] = [px - box.width / 2, py - box.height / 2];
  return { zoom, pan: [dx - (dx - camera.pan[0]) * ratio, dy - (dy - camera.pan[1]) * ratio] };
}

/** The factor of one turn of the wheel; a line or a page counts as its pixels. */
export function wheelFactor(event: { deltaY: number; deltaMode: number }): number {
  const pixels = event.deltaY * ([1, 16, 400][event.deltaMode] ?? 1);
  return Math.exp(-0.0018 * Math.max(-400, Math.min(400, pixels)));
}

/** Moves the view by a drag, in CSS pixels. */
export function dragBy(camera: Camera, dx: number, dy: number): Camera {
  return { zoom: camera.zoom, pan: [camera.pan[0] + dx, camera.pan[1] + dy] };
}

/**
 * The camera in which the points fill the canvas.
 * @param points Pairs x, y on the plane; one part in a hundred at each side may fall outside.
 * @param keep Whether a row must not fall outside.
 */
export function fit(points: Float32Array, box: Box, keep: (row: number) => boolean = () => false): Camera {
  const rows = points.length / 2;
  if (rows < 1) return HOME;
  const span = (axis: number): [number, number] => {
    const sorted = Float32Array.from({ length: rows }, (_, row) => points[2 * row + axis]!).sort();
    const cut = rows > 200 ? Math.floor(rows / 100) : 0;
    let [low, high] = [sorted[cut]!, sorted[rows - 1 - cut]!];
    for (let row = 0; row < rows; row++) {
      if (!keep(row)) continue;
      low = Math.min(low, points[2 * row + axis]!);
      high = Math.max(high, points[2 * row + axis]!);
    }
    return [low, high];
  };
  const [[left, right], [low, high]] = [span(0), span(1)];
  const size = pixelsPerUnit(HOME, box);
  const room = 0.86;
  const factor = Math.min(
    (room * box.width) / Math.max((right - left) * size, 1e-6),
    (room * box.height) / Math.max((high - low) * size, 1e-6),
  );
  const zoom = Math.min(MOST_ZOOM, Math.max(LEAST_ZOOM, Number.isFinite(factor) ? factor : 1));
  return { zoom, pan: [(-(left + right) / 2) * size * zoom, ((low + high) / 2) * size * zoom] };
}

/** The camera in which several clouds of the same rows fill the canvas together; see `fit`. */
export function fitAll(clouds: readonly Float32Array[], box: Box, keep?: (row: number) => boolean): Camera {
  const rows = (clouds[0]?.length ?? 0) / 2;
  const all = new Float32Array(clouds.reduce((sum, one) => sum + one.length, 0));
  clouds.reduce((at, one) => (all.set(one, at), at + one.length), 0);
  return fit(all, box, keep && ((row) => keep(row % rows)));
}

/** A camera as a link keeps it: the zoom, and the point of the plane in the middle of the canvas. */
export type Framing = readonly [zoom: number, x: number, y: number];

/** What a link keeps of a camera: rounded, so that the view drawn is the one that is written. */
export function framing(camera: Camera, box: Box): Framing {
  const [x, y] = fromPixel(box.width / 2, box.height / 2, camera, box);
  const zoom = Math.min(MOST_ZOOM, Math.max(LEAST_ZOOM, Number(camera.zoom.toPrecision(5))));
  // A hundredth of a pixel, however large the view: a drag is a sum of many small moves.
  const digits = 4 + Math.max(0, Math.ceil(Math.log10(zoom)));
  const short = (value: number): number => Number(Math.max(-999, Math.min(999, value)).toFixed(digits)) || 0;
  return [zoom, short(x), short(y)];
}

/** The camera of a link, in a canvas of any size. */
export function framed([zoom, x, y]: Framing, box: Box): Camera {
  const size = pixelsPerUnit({ zoom, pan: [0, 0] }, box);
  return { zoom, pan: [-x * size || 0, y * size || 0] };
}

/** Zooms and moves as two fingers do that were at `from` and are at `to`, in CSS pixels. */
export function pinch(
  camera: Camera,
  from: readonly (readonly [number, number])[],
  to: readonly (readonly [number, number])[],
  box: Box,
): Camera {
  const middle = (of: typeof from, axis: 0 | 1): number => (of[0]![axis] + of[1]![axis]) / 2;
  const apart = (of: typeof from): number => Math.hypot(of[0]![0] - of[1]![0], of[0]![1] - of[1]![1]);
  const moved = dragBy(camera, middle(to, 0) - middle(from, 0), middle(to, 1) - middle(from, 1));
  const factor = apart(from) > 1 ? Math.max(apart(to), 1) / apart(from) : 1;
  return zoomAt(moved, factor, middle(to, 0), middle(to, 1), box);
}
