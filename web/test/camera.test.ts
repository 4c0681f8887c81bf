import { describe, expect, it } from "vitest";
import { HOME, dragBy, fit, fitAll, framed, framing, fromPixel, pinch, toPixel, wheelFactor, zoomAt, type Camera } from "../src/core/camera";
import { seeded, shuffled } from "../src/core/random";
import { fnv1a, placed, scales, type CloudView, type Frame } from "../src/core/scene";

const box = { width: 900, height: 700 };

describe("the camera", () => {
  it("leads to pixels and back, y upward on the plane", () => {
    const camera = { zoom: 1.7, pan: [30, -40] as const };
    const [px, py] = toPixel(0.3, -0.8, camera, box);
    const back = fromPixel(px, py, camera, box);
    expect(back[0]).toBeCloseTo(0.3);
    expect(back[1]).toBeCloseTo(-0.8);
    expect(toPixel(0, 1, HOME, box)[1]).toBeLessThan(toPixel(0, 0, HOME, box)[1]);
  });
  it("keeps what is at the pointer while it zooms, at its limits too", () => {
    let camera = dragBy(HOME, 20, 5);
    const before = fromPixel(700, 100, camera, box);
    for (const factor of [1.3, 0.2, 1e9, 1e-9]) {
      camera = zoomAt(camera, factor, 700, 100, box);
      fromPixel(700, 100, camera, box).forEach((x, i) => expect(x).toBeCloseTo(before[i]!, 6));
    }
    expect(wheelFactor({ deltaY: -100, deltaMode: 0 })).toBeGreaterThan(1);
    expect(wheelFactor({ deltaY: 100, deltaMode: 0 }) * wheelFactor({ deltaY: -100, deltaMode: 0 })).toBeCloseTo(1);
  });
  it("shows the rows that count at every step that is to be seen", () => {
    const first = Float32Array.from([-1, -1, 1, 1, 0, 0]);
    const later = Float32Array.from([-1, -1, 1, 3, 0, 0]);
    const inside = (camera: Camera) => {
      const [x, y] = toPixel(1, 3, camera, box);
      return x > 0 && x < box.width && y > 0 && y < box.height;
    };
    expect(inside(fit(first, box))).toBe(false);
    expect(inside(fitAll([first, later], box, (row) => row === 1))).toBe(true);
    expect(fitAll([first], box)).toEqual(fit(first, box));
    expect(fitAll([], box)).toEqual(HOME);
  });
  it("is read from a link as it was written, and shows the same part in a canvas of another size", () => {
    let camera = zoomAt(dragBy(HOME, 123.4, -56.7), 3.21, 200, 500, box);
    const link = framing(camera, box);
    expect(framing(framed(link, box), box)).toEqual(link);
    framed(link, box).pan.forEach((x, i) => expect(x).toBeCloseTo(camera.pan[i]!, 1));
    const small = { width: 450, height: 350 };
    const there = fromPixel(450, 350, camera, box);
    fromPixel(225, 175, framed(link, small), small).forEach((x, i) => expect(x).toBeCloseTo(there[i]!, 3));
    // A drag is a sum of small moves, each of them written.
    camera = framed([400, 1.5, -0.5], box);
    for (let i = 0; i < 100; i++) camera = framed(framing(dragBy(camera, 1, 0), box), box);
    expect(camera.pan[0] - framed([400, 1.5, -0.5], box).pan[0]).toBeCloseTo(100, 0);
    expect(framing({ zoom: 1, pan: [-0, 1e9] }, box).every(Number.isFinite)).toBe(true);
  });
  it("follows two fingers: what is under each stays there", () => {
    const from: [number, number][] = [[100, 100], [300, 200]];
    const to: [number, number][] = [[150, 120], [550, 320]];
    const after = pinch(HOME, from, to, box);
    expect(after.zoom).toBeCloseTo(2);
    for (const i of [0, 1]) {
      const there = fromPixel(...from[i]!, HOME, box);
      fromPixel(...to[i]!, after, box).forEach((x, axis) => expect(x).toBeCloseTo(there[axis]!, 6));
    }
    expect(Number.isFinite(pinch(HOME, [[1, 1], [1, 1]], from, box).zoom)).toBe(true);
  });
  it("fits points into the canvas, and bears one point or none", () => {
    const points = Float32Array.from([10, 5, 12, 6, 11, 9]);
    const camera = fit(points, box);
    for (let i = 0; i < 6; i += 2) {
      const [px, py] = toPixel(points[i]!, points[i + 1]!, camera, box);
      expect(px > 0 && px < 900 && py > 0 && py < 700).toBe(true);
    }
    // Of many points a few may fall outside, but not those that are to be kept.
    const many = Float32Array.from({ length: 1000 }, (_, i) => (i < 2 ? 50 : Math.sin(i)));
    const place = (one: typeof camera) => toPixel(50, 50, one, box)[0];
    expect(place(fit(many, box))).toBeGreaterThan(900);
    expect(place(fit(many, box, (row) => row === 0))).toBeLessThan(900);
    expect(fit(new Float32Array(0), box)).toEqual(HOME);
    expect(Number.isFinite(fit(Float32Array.from([1, 1]), box).zoom)).toBe(true);
  });
});

describe("the reckoning of a scene", () => {
  const frame = (values: number[], radius: number): Frame => ({ data: Int16Array.from(values), unit: 0.5, radius });
  const a = frame([2, 0, 0, 0, 0, 2, 0, 0], 1);
  const b = frame([4, 0, 0, 0, 0, 4, 0, 0], 3);
  const view: CloudView = {
    ...HOME, mix: 0.5, plane: Float32Array.of(1, 0, 0, 0, 0, 1, 0, 0), size: 4, moving: false, trueScale: false,
  };
  it("mixes two frames, moves the rows that are moved, and takes the offset off", () => {
    expect([...placed(a, b, 4, 2, view)]).toEqual([1.5, 0, 0, 1.5]);
    expect([...placed(a, b, 4, 2, { ...view, mix: 0 })]).toEqual([1, 0, 0, 1]);
    const moved = { ...view, offset: [1, 1] as const, moved: Uint8Array.of(0, 1), shift: Float32Array.of(2, 3, 9, 9) };
    expect([...placed(a, b, 4, 2, moved)]).toEqual([0.5, -1, 1, 3.5]);
  });
  it("in true scale a small frame is small", () => {
    expect(scales(a, b, { ...view, trueScale: true, mix: 0 })[0]).toBeCloseTo(0.5 / 3);
    expect(scales(a, b, { ...view, trueScale: true, mix: 1, trueRadius: 1 })[1]).toBeCloseTo(1.5);
  });
  it("hashes as FNV-1a does", () => {
    expect(fnv1a(new Uint8Array())).toBe("811c9dc5");
    expect(fnv1a(new TextEncoder().encode("foobar"))).toBe("bf9cf968");
  });
});

it("shuffling keeps every row, in an order that is not theirs, the same for a seed", () => {
  const order = shuffled(1000, 1);
  expect([...order].sort((x, y) => x - y)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
  expect(shuffled(1000, 1)).toEqual(order);
  const early = order.subarray(0, 100).reduce((sum, row) => sum + row, 0) / 100;
  expect(Math.abs(early - 500)).toBeLessThan(100);
  expect(seeded(1)()).not.toBe(seeded(2)());
});
