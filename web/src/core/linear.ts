/**
 * Planes in which a cloud of k coordinates is looked at. A plane is
 * Float32Array(2k): two orthonormal rows, the directions of x and y.
 */

/** Means of the rows of each group, row-major [group, k]; a group without rows is NaN. */
export interface Centroids {
  k: number;
  values: Float32Array;
  /** Rows in each group. */
  count: Uint32Array;
}

/**
 * Centroids of labeled rows.
 * @param data Row-major [row, k].
 * @param scale Each number is multiplied by it (the unit of a frame).
 * @param codes Group of each row; below 0 is none.
 */
export function centroidsOf(
  data: ArrayLike<number>,
  k: number,
  codes: ArrayLike<number>,
  groups: number,
  scale = 1,
): Centroids {
  const sums = new Float64Array(groups * k);
  const count = new Uint32Array(groups);
  const rows = Math.min(codes.length, Math.floor(data.length / k));
  for (let row = 0; row < rows; row++) {
    const code = codes[row]!;
    if (code < 0 || code >= groups) continue;
    count[code] = count[code]! + 1;
    for (let i = 0; i < k; i++) sums[code * k + i]! += data[row * k + i]!;
  }
  const values = Float32Array.from(sums, (sum, at) => (sum / count[Math.floor(at / k)]!) * scale);
  return { k, values, count };
}

/** The centroids of the groups asked for that have rows; all groups where none is asked for. */
function chosen(centroids: Centroids, codes: readonly number[]): Float32Array[] {
  const { k, values, count } = centroids;
  const asked = codes.length ? [...new Set(codes)] : Array.from(count, (_, code) => code);
  return asked.filter((code) => count[code]! > 0).map((code) => values.subarray(code * k, (code + 1) * k));
}

/** Mean of the centroids in focus: the point of k coordinates that the plane goes through. */
export function focusCenter(centroids: Centroids, codes: readonly number[]): Float32Array {
  const center = new Float32Array(centroids.k);
  const points = chosen(centroids, codes);
  for (const point of points) point.forEach((x, i) => (center[i]! += x / points.length));
  return center;
}

/** Mean product of the rows, the mean of their group taken off: row-major [k, k]. Arguments as of `centroidsOf`. */
export function withinOf(data: ArrayLike<number>, codes: ArrayLike<number>, centroids: Centroids, scale = 1): Float64Array {
  const { k, values, count } = centroids;
  const sums = new Float64Array(k * k);
  const rest = new Float64Array(k);
  let rows = 0;
  for (let row = 0; row < Math.min(codes.length, Math.floor(data.length / k)); row++) {
    const code = codes[row]!;
    if (code < 0 || code >= count.length) continue;
    rows++;
    for (let i = 0; i < k; i++) rest[i] = data[row * k + i]! * scale - values[code * k + i]!;
    for (let i = 0; i < k; i++) for (let j = 0; j < k; j++) sums[i * k + j]! += rest[i]! * rest[j]!;
  }
  return sums.map((sum) => sum / Math.max(1, rows));
}

/** Added to the spread within groups, as a share of its mean: few rows say little of the thinnest directions. */
const RIDGE = 0.05;

/** Directions, as rows, along which the spread within groups is one; the axes themselves where there is no spread. */
function whitening(within: Float64Array, k: number): number[][] {
  const mean = within.reduce((sum, x, at) => sum + (at % (k + 1) === 0 ? x : 0), 0) / k;
  if (!(mean > 0)) return Array.from({ length: k }, (_, i) => Array.from({ length: k }, (_, j) => (i === j ? 1 : 0)));
  const { values, vectors } = eigen(within, k);
  return vectors.map((vector, at) => vector.map((x) => x / Math.sqrt(Math.max(values[at]!, 0) + RIDGE * mean)));
}

/**
 * The plane that keeps the centroids in focus apart; through three of them it
 * is exact. Of more, every pair counts the same however far apart it is:
 * otherwise two that are near would be drawn over each other for the sake of
 * one that is far (the weighting of Loog, Duin and Haeb-Umbach, 2001). The sign
 * is fixed: the largest weight of each direction is positive. Where the
 * centroids span less than a plane, it is completed by the first coordinates.
 * @param within Spread within groups (`withinOf`): of more than three, distances are measured against it.
 */
export function focusPlane(centroids: Centroids, codes: readonly number[], within?: Float64Array): Float32Array {
  const { k } = centroids;
  const points = chosen(centroids, [...codes].sort((a, b) => a - b));
  const white = within && points.length > 3 ? whitening(within, k) : null;
  const seen = white ? points.map((point) => white.map((way) => way.reduce((sum, x, i) => sum + x * point[i]!, 0))) : points;
  const ways = seen.flatMap((one, at) => seen.slice(0, at).map((other) => Array.from(one, (x, i) => x - other[i]!)));
  const lengths = ways.map((way) => way.reduce((sum, x) => sum + x * x, 0));
  const least = 1e-9 * Math.max(...lengths, Number.MIN_VALUE);
  const spread = new Float64Array(k * k);
  ways.forEach((way, at) => {
    if (lengths[at]! <= least) return;
    for (let i = 0; i < k; i++) for (let j = 0; j < k; j++) spread[i * k + j]! += (way[i]! * way[j]!) / lengths[at]!;
  });
  const { values, vectors } = eigen(spread, k);
  const floor = 1e-9 * Math.max(values[0]!, Number.MIN_VALUE);
  const back = (vector: number[]): number[] =>
    white ? vector.map((_, i) => white.reduce((sum, way, at) => sum + way[i]! * vector[at]!, 0)) : vector;
  const rows = [0, 1].filter((at) => values[at]! > floor).map((at) => signed(back(vectors[at]!)));
  return orthonormal(rows, k);
}

/** The plane of the first two coordinates: the axes of most variance in an unsupervised basis. */
export function variancePlane(k: number): Float32Array {
  return orthonormal([], k);
}

/** A plane and the point on it that is drawn in the middle. */
export interface Sight {
  plane: Float32Array;
  middle: readonly [number, number];
}

/**
 * How a place is looked at by default. It depends on the centroids of one
 * reference step alone, never on what was shown before: the picture of a link
 * is the same wherever one came from, and what moves between steps are the
 * states and not the plane.
 */
export function sightOf(basis: string, centroids: Centroids, focus: readonly number[], within?: Float64Array): Sight {
  const plane = basis === "variance" || basis === "umap" ? variancePlane(centroids.k) : focusPlane(centroids, focus, within);
  const [x, y] = project(focusCenter(centroids, focus), plane);
  return { plane, middle: [x!, y!] };
}

/** Flips a direction so that its largest weight (the first of equals) is positive. */
function signed(direction: number[]): number[] {
  let at = 0;
  // A margin, so that rounding does not choose between equals.
  direction.forEach((x, i) => (at = Math.abs(x) > Math.abs(direction[at]!) + 1e-6 ? i : at));
  return direction[at]! < 0 ? direction.map((x) => -x) : direction;
}

/** Makes up to two directions orthonormal, and adds coordinate axes until there are two. */
export function orthonormal(rows: readonly ArrayLike<number>[], k: number): Float32Array {
  const kept: number[][] = [];
  const axes = Array.from({ length: k }, (_, axis) => Array.from({ length: k }, (_, i) => (i === axis ? 1 : 0)));
  // An axis nearly inside what is kept would be all rounding: the rest must be at least a third.
  const add = (row: ArrayLike<number>, least: number): void => {
    if (kept.length === 2) return;
    const rest = Array.from(row);
    // Twice is enough for orthogonality to rounding.
    for (let pass = 0; pass < 2; pass++)
      for (const one of kept) {
        const along = one.reduce((sum, x, i) => sum + x * rest[i]!, 0);
        one.forEach((x, i) => (rest[i]! -= along * x));
      }
    const length = Math.hypot(...rest);
    if (length > least) kept.push(rest.map((x) => x / length));
  };
  rows.forEach((row) => add(row, 1e-6 * Math.max(Math.hypot(...Array.from(row)), 1e-30)));
  axes.forEach((axis) => add(axis, 0.3));
  axes.forEach((axis) => add(axis, 0.01));
  const plane = new Float32Array(2 * k);
  kept.forEach((row, at) => plane.set(row, at * k));
  return plane;
}

/** A plane between two, for a turn on screen: `share` 0 is the first, 1 the second. */
export function betweenPlanes(from: Float32Array, to: Float32Array, share: number): Float32Array {
  const k = from.length / 2;
  const mixed = from.map((x, i) => (1 - share) * x + share * to[i]!);
  return orthonormal([mixed.subarray(0, k), mixed.subarray(k)], k);
}

/**
 * The grand tour: `plane` turned at time `t` (in seconds; about a tenth of a
 * turn a second) by a fixed curve that comes near every plane. `t` = 0 is the
 * plane itself. The speeds are incommensurable, so the curve does not close.
 */
export function tour(plane: Float32Array, t: number): Float32Array {
  const k = plane.length / 2;
  const turned = Float64Array.from(plane);
  let at = 0;
  for (let i = 0; i < k; i++)
    for (let j = i + 1; j < k; j++) {
      at++;
      const share = (at * 0.6180339887498949) % 1;
      const angle = t * (0.15 + 0.45 * share) * Math.sqrt(8 / k) * 0.5;
      const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
      for (const row of [0, k]) {
        const [x, y] = [turned[row + i]!, turned[row + j]!];
        turned[row + i] = cos * x - sin * y;
        turned[row + j] = sin * x + cos * y;
      }
    }
  return orthonormal([turned.subarray(0, k), turned.subarray(k)], k);
}

/** Projects rows of k numbers to x, y pairs, each number times `scale`. */
export function project(data: ArrayLike<number>, plane: Float32Array, scale = 1): Float32Array {
  const k = plane.length / 2;
  const rows = Math.floor(data.length / k);
  const points = new Float32Array(2 * rows);
  for (let row = 0; row < rows; row++) {
    let x = 0;
    let y = 0;
    for (let i = 0; i < k; i++) {
      const value = data[row * k + i]!;
      x += value * plane[i]!;
      y += value * plane[k + i]!;
    }
    points[2 * row] = x * scale;
    points[2 * row + 1] = y * scale;
  }
  return points;
}

/** What an edit adds: `dose` times the way from one centroid to another, in k coordinates. */
export function centroidShift(centroids: Centroids, from: number, to: number, dose: number): Float32Array {
  const { k, values, count } = centroids;
  if (!count[from] || !count[to]) return new Float32Array(k);
  return Float32Array.from({ length: k }, (_, i) => dose * (values[to * k + i]! - values[from * k + i]!));
}

/** Eigenvalues, falling, and unit eigenvectors of a symmetric matrix (Jacobi's rotations; k is at most 16). */
export function eigen(matrix: ArrayLike<number>, k: number): { values: number[]; vectors: number[][] } {
  const a = Float64Array.from(matrix);
  const v = Float64Array.from({ length: k * k }, (_, at) => (at % (k + 1) === 0 ? 1 : 0));
  const turn = (of: Float64Array, p: number, q: number, cos: number, sin: number): void => {
    const [x, y] = [of[p]!, of[q]!];
    of[p] = cos * x - sin * y;
    of[q] = sin * x + cos * y;
  };
  for (let sweep = 0; sweep < 60; sweep++) {
    let off = 0;
    let all = 0;
    a.forEach((x, at) => ((all += x * x), (off += at % (k + 1) === 0 ? 0 : x * x)));
    if (off <= 1e-26 * all) break;
    for (let p = 0; p < k; p++)
      for (let q = p + 1; q < k; q++) {
        if (a[p * k + q] === 0) continue;
        const angle = 0.5 * Math.atan2(2 * a[p * k + q]!, a[q * k + q]! - a[p * k + p]!);
        const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
        for (let i = 0; i < k; i++) turn(a, i * k + p, i * k + q, cos, sin);
        for (let i = 0; i < k; i++) turn(a, p * k + i, q * k + i, cos, sin);
        for (let i = 0; i < k; i++) turn(v, i * k + p, i * k + q, cos, sin);
      }
  }
  const order = Array.from({ length: k }, (_, i) => i).sort((p, q) => a[q * (k + 1)]! - a[p * (k + 1)]! || p - q);
  return {
    values: order.map((i) => a[i * (k + 1)]!),
    vectors: order.map((i) => Array.from({ length: k }, (_, row) => v[row * k + i]!)),
  };
}
