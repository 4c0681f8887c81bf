/** The page of the renderer's test: every check returns plain numbers to the test that drives it. */
import {
  Cloud, HOME, centroidsOf, focusPlane, seeded, tour, variancePlane, zoomAt,
  HttpSource, type Change, type CloudView, type Frame,
} from "../../src/core/index";

const PALETTE = [[230, 60, 60], [60, 160, 60], [60, 90, 230], [220, 160, 20]] as const;

function canvas(): HTMLCanvasElement {
  const element = document.createElement("canvas");
  element.style.cssText = "width:900px;height:700px;display:block";
  document.body.replaceChildren(element);
  return element;
}

function frame(rows: number, k: number, seed: number, spread: number): Frame {
  const random = seeded(seed);
  const data = new Int16Array(rows * k);
  for (let row = 0; row < rows; row++)
    for (let i = 0; i < k; i++)
      data[row * k + i] = 4000 * (random() + random() - 1) * 1.5 + (i === row % 4 ? 9000 * spread : 0) - 2000 * spread;
  return { data, unit: 1 / 10000, radius: 1 + spread };
}

function make(rows: number, k: number, plain = false) {
  const cloud = new Cloud(canvas(), { plain });
  const color = Int16Array.from({ length: rows }, (_, row) => (row % 9 === 8 ? -1 : row % 4));
  cloud.setPalette(PALETTE);
  cloud.setRows({ count: rows, color, shape: Uint8Array.from({ length: rows }, (_, row) => row % 3) });
  const [a, b] = [frame(rows, k, 1, 0), frame(rows, k, 2, 1)];
  cloud.setFrames(a, b, k);
  const plane = focusPlane(centroidsOf(b.data, k, color, 4, b.unit), [0, 1, 2]);
  const view: CloudView = { ...HOME, mix: 1, plane, size: 5, moving: false, trueScale: false };
  return { cloud, view, a, b, color };
}

/** Milliseconds for one frame, drawn to the end: readPixels of one pixel waits for the card. */
function timed(rows: number, k: number, moving: boolean, draws: number, plain = false) {
  const { cloud, view } = make(rows, k, plain);
  const gl = plain ? null : cloud.canvas.getContext("webgl2");
  const one = new Uint8Array(4);
  const times: number[] = [];
  for (let i = 0; i < draws; i++) {
    const start = performance.now();
    cloud.draw({ ...view, mix: i / draws, moving });
    gl?.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, one);
    times.push(performance.now() - start);
  }
  cloud.destroy();
  times.sort((x, y) => x - y);
  return { least: times[0]!, median: times[Math.floor(draws / 2)]! };
}

/** Does the point of a row lie where the reckoning on the CPU says? Every other row is out of sight. */
function agrees(k: number, trueScale: boolean) {
  const { cloud, view, a, b } = make(40, k);
  const ratio = window.devicePixelRatio;
  const gl = cloud.canvas.getContext("webgl2")!;
  let worst = 0;
  for (let row = 0; row < 40; row += 7) {
    const alone = (from: Frame): Frame => {
      const data = new Int16Array(from.data.length).fill(32000);
      data.set(from.data.subarray(row * k, row * k + k), row * k);
      return { ...from, data };
    };
    cloud.setFrames(alone(a), alone(b), k);
    const camera = zoomAt(HOME, 1.4, 300, 500, { width: 900, height: 700 });
    const flat = tour(variancePlane(k), 3);
    cloud.draw({ ...view, ...camera, plane: flat, mix: 0.3, offset: [0.1, -0.2], trueScale });
    const pixels = new Uint8Array(4 * cloud.canvas.width * cloud.canvas.height);
    gl.readPixels(0, 0, cloud.canvas.width, cloud.canvas.height, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
    const at = cloud.pixels().subarray(2 * row, 2 * row + 2);
    let [x, y, n] = [0, 0, 0];
    for (let i = 3; i < pixels.length; i += 4) {
      if (!pixels[i]) continue;
      const pixel = (i - 3) / 4;
      x += (pixel % cloud.canvas.width) + 0.5;
      y += cloud.canvas.height - Math.floor(pixel / cloud.canvas.width) - 0.5;
      n++;
    }
    worst = Math.max(worst, n ? Math.hypot(x / n / ratio - at[0]!, y / n / ratio - at[1]!) : 1e9);
  }
  return worst;
}

const checks = {
  timed,
  agrees,
  digests() {
    const digest = (change: Partial<CloudView>, plain = false) => {
      const { cloud, view } = make(5000, 8, plain);
      cloud.draw({ ...view, ...change });
      const found = cloud.digest();
      cloud.destroy();
      return found;
    };
    return {
      first: digest({}), again: digest({}), mixed: digest({ mix: 0.5 }), dimmed: digest({ dimmed: new Uint8Array(5000).fill(1) }),
      moved: digest({ moved: new Uint8Array(5000).fill(1), shift: Float32Array.of(1, 0, 0, 0, 0, 0, 0, 0) }),
      away: digest({ pan: [5000, 0] }), plain: digest({}, true),
    };
  },
  choose() {
    const { cloud, view } = make(5000, 8);
    cloud.draw(view);
    const at = cloud.pixels();
    const start = performance.now();
    const square = cloud.lasso([[300, 200], [600, 200], [600, 500], [300, 500]]);
    const took = performance.now() - start;
    let expected = 0;
    for (let row = 0; row < 5000; row++) {
      const [x, y] = [Math.floor(at[2 * row]!), Math.floor(at[2 * row + 1]!)];
      if (x >= 300 && x < 600 && y >= 200 && y < 500) expected++;
    }
    let hits = 0;
    for (let row = 0; row < 200; row++) {
      const found = cloud.pick(at[2 * row]!, at[2 * row + 1]!);
      if (found === row || Math.hypot(at[2 * found]! - at[2 * row]!, at[2 * found + 1]! - at[2 * row + 1]!) < 1e-3) hits++;
    }
    const dimmed = new Uint8Array(5000).fill(1);
    cloud.draw({ ...view, dimmed });
    const faint = [cloud.pick(at[0]!, at[1]!), cloud.lasso([[0, 0], [900, 0], [900, 700], [0, 700]]).length];
    return { chosen: square.length, expected, hits, nowhere: cloud.pick(-500, -500), faint, took };
  },
  /** One canvas that stands in no page draws several pictures, whatever pixels the screen has. */
  copies() {
    const { cloud, view, a, b } = make(5000, 8);
    const hidden = new Cloud(document.createElement("canvas"));
    hidden.setPalette(PALETTE);
    hidden.setRows({ count: 5000, color: Int16Array.from({ length: 5000 }, (_, row) => row % 4), shape: new Uint8Array(5000) });
    hidden.box = { width: 150, height: 100 };
    const pictures = [a, b, a].map((one) => {
      const to = document.createElement("canvas");
      hidden.setFrames(one, one, 8);
      hidden.copy({ ...view, size: 3 }, to);
      const { data } = to.getContext("2d")!.getImageData(0, 0, to.width, to.height);
      const colored = data.reduce((sum, value, at) => sum + (at % 4 === 3 && value ? 1 : 0), 0);
      return { width: to.width, height: to.height, colored: (4 * colored) / data.length, hash: to.toDataURL() };
    });
    hidden.destroy();
    cloud.destroy();
    return pictures;
  },
  async lost() {
    const { cloud, view } = make(5000, 8);
    cloud.draw(view);
    const before = cloud.digest();
    const loss = cloud.canvas.getContext("webgl2")!.getExtension("WEBGL_lose_context")!;
    loss.loseContext();
    await new Promise((done) => setTimeout(done, 100));
    cloud.draw(view);
    const during = cloud.digest();
    loss.restoreContext();
    await new Promise((done) => setTimeout(done, 300));
    return { before, during, after: cloud.digest() };
  },
  trails() {
    const { cloud, view } = make(40, 8);
    // The points are far away: only the trail, from the left end to the right, can be seen.
    cloud.draw({ ...view, plane: variancePlane(8), offset: [-100, 0], size: 1 });
    const without = cloud.digest();
    const points = Float32Array.from({ length: 16 }, (_, i) => (i === 0 ? -101 : i === 8 ? -99 : 0));
    cloud.setTrails([{ points, color: 1 }]);
    const during = cloud.digest();
    cloud.setTrails([]);
    return { without, during, after: cloud.digest() };
  },
  /** Listens until `most` changes came. */
  changes: (most: number): Promise<Change[]> =>
    new Promise((done) => {
      const heard: Change[] = [];
      const stop = new HttpSource().events((change) => {
        heard.push(change);
        if (heard.length < most) return;
        stop();
        done(heard);
      });
    }),
  /** Frames of sixteen coordinates, then of eight: no attribute may be left over. */
  switched() {
    const { cloud, view } = make(100, 16);
    cloud.draw(view);
    const [a, b] = [frame(100, 8, 1, 0), frame(100, 8, 2, 1)];
    cloud.setFrames(a, b, 8);
    cloud.draw({ ...view, plane: variancePlane(8) });
    return { error: cloud.canvas.getContext("webgl2")!.getError(), ...cloud.digest() };
  },
};

Object.assign(window, { checks });
