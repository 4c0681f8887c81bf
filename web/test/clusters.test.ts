import { describe, expect, it } from "vitest";
import { adjustedRand, kmeans, viewAri } from "../src/core/clusters";
import { seeded } from "../src/core/random";

/** Rows of groups on a circle of radius 1, spread by `noise`. */
function blobs(groups: number, each: number, noise: number, seed = 3): { points: Float32Array; codes: number[] } {
  const random = seeded(seed);
  const codes = Array.from({ length: groups * each }, (_, row) => row % groups);
  const points = new Float32Array(2 * codes.length);
  codes.forEach((code, row) => {
    const angle = (2 * Math.PI * code) / groups;
    points[2 * row] = Math.cos(angle) + noise * (random() - 0.5);
    points[2 * row + 1] = Math.sin(angle) + noise * (random() - 0.5);
  });
  return { points, codes };
}

describe("the adjusted Rand index", () => {
  it("agrees with known answers", () => {
    // These values are those of scikit-learn's adjusted_rand_score.
    expect(adjustedRand([0, 0, 1, 1], [1, 1, 0, 0])).toBe(1);
    expect(adjustedRand([0, 0, 1, 2], [0, 0, 1, 1])).toBeCloseTo(0.5714285714, 9);
    expect(adjustedRand([0, 0, 1, 1], [0, 1, 0, 1])).toBeCloseTo(-0.5, 9);
    expect(adjustedRand([0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 2, 2])).toBeCloseTo(0.2424242424, 9);
  });
  it("leaves out rows without a label, and says nothing where nothing can be said", () => {
    expect(adjustedRand([0, 0, 1, 1, -1], [1, 1, 0, 0, 0])).toBe(1);
    expect(adjustedRand([0], [0])).toBeNull();
    expect(adjustedRand([0, 0, 0], [0, 0, 0])).toBeNull();
  });
});

describe("clusters of points", () => {
  it("find separate groups, the same ones each time", () => {
    const { points, codes } = blobs(6, 40, 0.3);
    const found = kmeans(points, 2, 6, 0);
    expect(adjustedRand(codes, found.clusters)).toBe(1);
    expect(kmeans(points, 2, 6, 0)).toEqual(found);
  });
  it("bear fewer points than groups, equal points, and none", () => {
    expect([...kmeans(Float32Array.from([0, 0, 1, 1]), 2, 5, 0).clusters].sort()).toEqual([0, 1]);
    expect(kmeans(new Float32Array(20), 2, 3, 0).inertia).toBe(0);
    expect(kmeans(new Float32Array(0), 2, 3, 0).clusters.length).toBe(0);
  });
});

describe("what can be seen in a view", () => {
  it("is all where groups are apart and nothing where there are none", () => {
    const apart = blobs(8, 50, 0.3);
    expect(viewAri(apart.points, apart.codes)).toBe(1);
    const random = seeded(9);
    const mixed = Float32Array.from({ length: 800 }, () => random());
    expect(Math.abs(viewAri(mixed, apart.codes)!)).toBeLessThan(0.03);
  });
  it("leaves out rows without a label, and samples many rows", () => {
    const many = blobs(5, 4000, 0.3);
    expect(viewAri(many.points, many.codes)).toBeGreaterThan(0.99);
    const { points, codes } = blobs(4, 30, 0.3);
    points.fill(0, 0, 40);
    expect(viewAri(points, codes.map((code, row) => (row < 20 ? -1 : code)))).toBe(1);
  });
});
