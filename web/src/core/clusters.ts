/** How well the groups can be seen in a picture: clusters of its points against the labels. */
import { seeded } from "./random";

/** Pairs among n things. */
const pairs = (n: number): number => (n * (n - 1)) / 2;

/**
 * Adjusted Rand index of two groupings: 1 the same, 0 as by chance. Rows with
 * a code below 0 in either are left out; null where nothing can be said
 * (fewer than two rows, or both put all rows in one group or each in its own).
 */
export function adjustedRand(a: ArrayLike<number>, b: ArrayLike<number>): number | null {
  const cells = new Map<string, number>();
  const left = new Map<number, number>();
  const right = new Map<number, number>();
  const add = <K>(to: Map<K, number>, key: K): unknown => to.set(key, (to.get(key) ?? 0) + 1);
  let n = 0;
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    if (a[i]! < 0 || b[i]! < 0) continue;
    n++;
    add(cells, `${a[i]},${b[i]}`);
    add(left, a[i]!);
    add(right, b[i]!);
  }
  const together = (of: Map<unknown, number>): number => [...of.values()].reduce((sum, m) => sum + pairs(m), 0);
  if (n < 2) return null;
  const [both, one, two] = [together(cells), together(left), together(right)];
  const chance = (one * two) / pairs(n);
  const most = (one + two) / 2;
  return most === chance ? null : (both - chance) / (most - chance);
}

/** A grouping and its sum of squared distances. */
export interface Grouping {
  clusters: Int32Array;
  inertia: number;
}

/**
 * K-means with k-means++ starts.
 * @param points Row-major [row, d].
 * @param starts Independent starts; the one with the least inertia is kept.
 */
export function kmeans(points: Float32Array, d: number, clusters: number, seed: number, starts = 4): Grouping {
  const rows = Math.floor(points.length / d);
  const groups = Math.min(clusters, rows);
  const random = seeded(seed);
  let best: Grouping = { clusters: new Int32Array(rows), inertia: Infinity };
  for (let start = 0; start < starts && groups > 0; start++) {
    const found = lloyd(points, d, firstCenters(points, d, groups, random));
    if (found.inertia < best.inertia) best = found;
  }
  return best;
}

function squared(points: Float32Array, row: number, centers: Float64Array, center: number, d: number): number {
  let sum = 0;
  for (let i = 0; i < d; i++) {
    const way = points[row * d + i]! - centers[center * d + i]!;
    sum += way * way;
  }
  return sum;
}

/** Each next center is a point drawn by its squared distance from those there are. */
function firstCenters(points: Float32Array, d: number, groups: number, random: () => number): Float64Array {
  const rows = points.length / d;
  const centers = new Float64Array(groups * d);
  const nearest = new Float64Array(rows).fill(Infinity);
  let row = Math.floor(random() * rows);
  for (let group = 0; group < groups; group++) {
    for (let i = 0; i < d; i++) centers[group * d + i] = points[row * d + i]!;
    let total = 0;
    for (let r = 0; r < rows; r++)
      total += nearest[r] = Math.min(nearest[r]!, squared(points, r, centers, group, d));
    let left = random() * total;
    for (row = 0; row < rows - 1 && left >= nearest[row]!; row++) left -= nearest[row]!;
  }
  return centers;
}

function lloyd(points: Float32Array, d: number, centers: Float64Array): Grouping {
  const rows = points.length / d;
  const groups = centers.length / d;
  const clusters = new Int32Array(rows).fill(-1);
  let inertia = 0;
  for (let pass = 0; pass < 60; pass++) {
    let moved = 0;
    inertia = 0;
    for (let row = 0; row < rows; row++) {
      let best = 0;
      let least = Infinity;
      for (let group = 0; group < groups; group++) {
        const far = squared(points, row, centers, group, d);
        if (far < least) [best, least] = [group, far];
      }
      if (clusters[row] !== best) moved++;
      clusters[row] = best;
      inertia += least;
    }
    if (!moved) break;
    const sums = new Float64Array(centers.length);
    const count = new Float64Array(groups);
    for (let row = 0; row < rows; row++) {
      const group = clusters[row]!;
      count[group]!++;
      for (let i = 0; i < d; i++) sums[group * d + i]! += points[row * d + i]!;
    }
    // A center that lost all its points stays where it is.
    centers.forEach((_, at) => {
      const size = count[Math.floor(at / d)]!;
      if (size) centers[at] = sums[at]! / size;
    });
  }
  return { clusters, inertia };
}

/** More rows than this are sampled: the number is read while a plane turns. */
const MOST_ROWS = 3000;

/**
 * Adjusted Rand index between the labels and k-means of the points as they
 * lie on screen; null where it cannot be said.
 * @param points Pairs x, y.
 * @param codes Label of each row; rows below 0 are left out.
 * @param clusters How many groups to look for; by default as many as there are labels.
 */
export function viewAri(points: Float32Array, codes: ArrayLike<number>, clusters?: number, seed = 0): number | null {
  let rows: number[] = [];
  for (let row = 0; row < codes.length; row++) if (codes[row]! >= 0) rows.push(row);
  const every = rows.length / MOST_ROWS;
  if (every > 1) rows = Array.from({ length: MOST_ROWS }, (_, i) => rows[Math.floor(i * every)]!);
  const labels = rows.map((row) => codes[row]!);
  const kept = new Float32Array(2 * rows.length);
  rows.forEach((row, at) => kept.set([points[2 * row]!, points[2 * row + 1]!], 2 * at));
  return adjustedRand(labels, kmeans(kept, 2, clusters ?? new Set(labels).size, seed).clusters);
}
