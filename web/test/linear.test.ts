import { describe, expect, it } from "vitest";
import {
  betweenPlanes, centroidShift, centroidsOf, eigen, focusCenter, focusPlane, orthonormal, project, sightOf, tour,
  variancePlane, withinOf,
} from "../src/core/linear";
import { viewAri } from "../src/core/clusters";
import { seeded } from "../src/core/random";

const cloud = (rows: number, k: number, seed = 1): Float32Array => {
  const random = seeded(seed);
  return Float32Array.from({ length: rows * k }, () => random() - 0.5);
};

function expectOrthonormal(plane: Float32Array): void {
  const k = plane.length / 2;
  const dot = (a: number, b: number) =>
    plane.subarray(a * k, a * k + k).reduce((sum, x, i) => sum + x * plane[b * k + i]!, 0);
  expect(dot(0, 0)).toBeCloseTo(1, 5);
  expect(dot(1, 1)).toBeCloseTo(1, 5);
  expect(dot(0, 1)).toBeCloseTo(0, 5);
}

it("means of groups leave out rows without a label and tell empty groups", () => {
  const found = centroidsOf(Int16Array.from([2, 4, 4, 8, 9, 9]), 2, [0, 0, -1], 2, 0.5);
  expect([...found.values.subarray(0, 2)]).toEqual([1.5, 3]);
  expect([...found.count]).toEqual([2, 0]);
  expect([...found.values.subarray(2)]).toEqual([NaN, NaN]);
});

it("eigenvectors rebuild their matrix", () => {
  for (const k of [2, 8, 16]) {
    const data = cloud(30, k);
    const matrix = Float64Array.from({ length: k * k }, (_, at) => {
      let sum = 0;
      for (let r = 0; r < 30; r++) sum += data[r * k + Math.floor(at / k)]! * data[r * k + (at % k)]!;
      return sum;
    });
    const { values, vectors } = eigen(matrix, k);
    expect(values).toEqual([...values].sort((a, b) => b - a));
    matrix.forEach((x, at) => {
      const [i, j] = [Math.floor(at / k), at % k];
      expect(values.reduce((sum, value, e) => sum + value * vectors[e]![i]! * vectors[e]![j]!, 0)).toBeCloseTo(x, 9);
    });
  }
});

describe("the plane of a focus", () => {
  const codes = Array.from({ length: 60 }, (_, row) => row % 6);
  it("keeps three centroids exactly", () => {
    for (const k of [8, 16]) {
      const centroids = centroidsOf(cloud(60, k), k, codes, 6);
      const focus = [4, 0, 2];
      const plane = focusPlane(centroids, focus);
      expectOrthonormal(plane);
      const flat = project(centroids.values, plane);
      for (const a of focus)
        for (const b of focus) {
          const whole = Math.hypot(
            ...Array.from({ length: k }, (_, i) => centroids.values[a * k + i]! - centroids.values[b * k + i]!),
          );
          expect(Math.hypot(flat[2 * a]! - flat[2 * b]!, flat[2 * a + 1]! - flat[2 * b + 1]!)).toBeCloseTo(whole, 5);
        }
      expect([...project(focusCenter(centroids, focus), plane)][0]).toBeCloseTo(
        (flat[0]! + flat[4]! + flat[8]!) / 3,
        5,
      );
    }
  });
  it("does not draw two near groups over each other for the sake of one that is far", () => {
    // Two pairs that are near, each along an axis of its own, and far from each other; noise along the far axis.
    const random = seeded(4);
    const means = [[0, 0, 0, 0], [0, 0, 1, 0], [10, 0, 0, 0], [10, 2, 0, 0]];
    const groups = Array.from({ length: 200 }, (_, row) => row % 4);
    const data = Float32Array.from({ length: 800 }, (_, at) => {
      const axis = at % 4;
      return means[groups[Math.floor(at / 4)]!]![axis]! + (axis === 0 ? 6 : 0.3) * (random() - 0.5);
    });
    const centroids = centroidsOf(data, 4, groups, 4);
    const plane = focusPlane(centroids, [0, 1, 2, 3], withinOf(data, groups, centroids));
    expectOrthonormal(plane);
    expect(viewAri(project(data, plane), groups)).toBeGreaterThan(0.95);
    // The plane of most spread is that of the first two axes, in which the first pair is one heap.
    expect(viewAri(project(data, variancePlane(4)), groups)).toBeLessThan(0.8);
    // Through three it stays exact.
    expect(focusPlane(centroids, [0, 1, 2], withinOf(data, groups, centroids))).toEqual(focusPlane(centroids, [0, 1, 2]));
  });
  it("of the spread within groups takes the means off, and bears groups of one row", () => {
    const codes = [0, 0, 1, 1, -1];
    const data = [1, 0, 3, 0, 5, 2, 5, 6, 99, 99];
    const centroids = centroidsOf(data, 2, codes, 2);
    expect([...withinOf(data, codes, centroids)]).toEqual([0.5, 0, 0, 2]);
    const single = centroidsOf(cloud(8, 8), 8, [0, 1, 2, 3, 4, 5, 6, 7], 8);
    expectOrthonormal(focusPlane(single, [0, 1, 2, 3, 4], withinOf(cloud(8, 8), [0, 1, 2, 3, 4, 5, 6, 7], single)));
  });
  it("does not depend on the order, nor flip with the sign of the data", () => {
    const centroids = centroidsOf(cloud(60, 8), 8, codes, 6);
    const plane = focusPlane(centroids, [0, 1, 2, 3]);
    focusPlane(centroids, [3, 2, 1, 0]).forEach((x, i) => expect(x).toBeCloseTo(plane[i]!, 5));
    const mirrored = { ...centroids, values: centroids.values.map((x) => -x) };
    focusPlane(mirrored, [0, 1, 2, 3]).forEach((x, i) => expect(x).toBeCloseTo(plane[i]!, 5));
  });
  it("is what a place is looked at through, its middle among the centroids in focus", () => {
    const centroids = centroidsOf(cloud(60, 8), 8, codes, 6);
    const { plane, middle } = sightOf("tasks", centroids, [1, 4]);
    expect(plane).toEqual(focusPlane(centroids, [1, 4]));
    const flat = project(centroids.values, plane);
    expect(middle[0]).toBeCloseTo((flat[2]! + flat[8]!) / 2, 5);
    expect(middle[1]).toBeCloseTo((flat[3]! + flat[9]!) / 2, 5);
    expect(sightOf("variance", centroids, [1, 4]).plane).toEqual(variancePlane(8));
  });
  it("is a plane whatever is asked", () => {
    const centroids = centroidsOf(cloud(60, 8), 8, codes, 9);
    for (const focus of [[], [1], [1, 1], [7], [7, 8], [0, 1], [0, 99]]) expectOrthonormal(focusPlane(centroids, focus));
    expectOrthonormal(focusPlane(centroidsOf(new Float32Array(80), 8, codes, 6), [0, 1, 2]));
  });
});

describe("planes", () => {
  it("of most variance are the first two coordinates", () => {
    expect([...variancePlane(3)]).toEqual([1, 0, 0, 0, 1, 0]);
  });
  it("of a tour are orthonormal, start at the plane, and move smoothly but far", () => {
    const start = orthonormal([cloud(1, 8), cloud(1, 8, 2)], 8);
    tour(start, 0).forEach((x, i) => expect(x).toBeCloseTo(start[i]!, 6));
    expect(tour(start, 12.3)).toEqual(tour(start, 12.3));
    let farthest = 0;
    for (let t = 0; t < 100; t += 0.5) {
      const plane = tour(start, t);
      expectOrthonormal(plane);
      const step = Math.hypot(...tour(start, t + 0.016).map((x, i) => x - plane[i]!));
      expect(step).toBeGreaterThan(0);
      expect(step).toBeLessThan(0.05);
      farthest = Math.max(farthest, Math.hypot(...plane.map((x, i) => x - start[i]!)));
    }
    expect(farthest).toBeGreaterThan(1.2);
  });
  it("between two go from one to the other", () => {
    const [a, b] = [variancePlane(8), orthonormal([cloud(1, 8), cloud(1, 8, 2)], 8)];
    expectOrthonormal(betweenPlanes(a, b, 0.4));
    betweenPlanes(a, b, 0).forEach((x, i) => expect(x).toBeCloseTo(a[i]!, 6));
    betweenPlanes(a, b, 1).forEach((x, i) => expect(x).toBeCloseTo(b[i]!, 6));
  });
});

it("a full dose moves one centroid onto the other", () => {
  const centroids = centroidsOf(Float32Array.from([1, 2, 5, 5]), 2, [0, 1], 3);
  expect([...centroidShift(centroids, 0, 1, 1)]).toEqual([4, 3]);
  expect([...centroidShift(centroids, 0, 1, -0.5)]).toEqual([-2, -1.5]);
  expect([...centroidShift(centroids, 0, 2, 1)]).toEqual([0, 0]);
});
