/** The page of the renderer's benchmark: draws what it is told to, and says how long that took. */
import {
  Cloud, FrameCache, HOME, HttpSource, centroidsOf, fit, focusPlane, neighbors, seeded,
  type CloudView, type Frame,
} from "../../web/src/core/index";

const PALETTE = [[230, 60, 60], [60, 160, 60], [60, 90, 230], [220, 160, 20]] as const;
const K = 8;
const TASKS = 20;
/** Drawn frames from one step to the next. */
const MIXED = 4;

interface Shown { cloud: Cloud; view: CloudView; frames: Frame[]; rows: number; gl: WebGL2RenderingContext }
let shown: Shown;

const unit = 1 / 10_000;
const size = (rows: number): number => (rows > 5000 ? 3 : rows > 1500 ? 5 : 8);

/** Groups that move apart from the first frame to the last. */
function made(rows: number, at: number, of: number): Frame {
  const random = seeded(at + 1);
  const data = new Int16Array(rows * K);
  for (let row = 0; row < rows; row++)
    for (let i = 0; i < K; i++)
      data[row * K + i] = 6000 * (random() + random() - 1) + (i === row % TASKS ? (9000 * at) / of : 0);
  return { data, unit, radius: 1 };
}

function setUp(rows: number, steps: number): void {
  shown?.cloud.destroy();
  const canvas = document.createElement("canvas");
  canvas.style.cssText = "width:900px;height:700px;display:block";
  document.body.replaceChildren(canvas);
  const cloud = new Cloud(canvas);
  const color = Int16Array.from({ length: rows }, (_, row) => (row % TASKS < 4 ? row % TASKS : -1));
  cloud.setPalette(PALETTE);
  cloud.setRows({ count: rows, color, shape: Uint8Array.from({ length: rows }, (_, row) => row % 3) });
  const frames = Array.from({ length: Math.max(2, steps) }, (_, at) => made(rows, at, steps - 1));
  const last = frames.at(-1)!;
  const plane = focusPlane(centroidsOf(last.data, K, color, 4, unit), [0, 1, 2, 3]);
  const dimmed = Uint8Array.from(color, (code) => (code < 0 ? 1 : 0));
  const view = { ...HOME, mix: 1, plane, size: size(rows), moving: false, trueScale: false, dimmed };
  cloud.setFrames(last, last, K);
  cloud.draw(view);
  Object.assign(view, fit(cloud.plane(), { width: 900, height: 700 }));
  shown = { cloud, view, frames, rows, gl: canvas.getContext("webgl2")! };
}

/** One frame of a slider that is moved: a few mixes from each step to the next. */
function draw(at: number, moving: boolean): void {
  const { cloud, view, frames } = shown;
  const step = Math.floor(at / MIXED) % (frames.length - 1);
  cloud.setFrames(frames[step]!, frames[step + 1]!, K);
  cloud.draw({ ...view, mix: (at % MIXED) / MIXED, moving });
}

const one = new Uint8Array(4);
/** Waits until the card has drawn. */
const finish = (): void => shown.gl.readPixels(0, 0, 1, 1, shown.gl.RGBA, shown.gl.UNSIGNED_BYTE, one);
const turn = (): Promise<number> => new Promise((done) => requestAnimationFrame(done));
const median = (values: number[]): number => values.sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

function timed(times: number, act: (at: number) => void) {
  const took: number[] = [];
  for (let at = 0; at < times; at++) {
    const began = performance.now();
    act(at);
    took.push(performance.now() - began);
  }
  return { median: median(took), least: took[0]! };
}

/** Each call draws and waits for the end; nothing is shown meanwhile. */
const drawn = (draws: number, moving: boolean) => timed(draws, (at) => (draw(at, moving), finish()));

/** As the app draws: one frame each time that the screen asks for one. */
async function played(draws: number, moving: boolean): Promise<number> {
  const began = performance.now();
  for (let at = 0; at < draws; at++) {
    await turn();
    draw(at, moving);
  }
  finish();
  return (performance.now() - began) / draws;
}

/** A lasso of 60 corners and a pick in its middle: after the view has changed, and again. */
function chosen(times: number) {
  const corners = Array.from({ length: 60 }, (_, at) => {
    const angle = (2 * Math.PI * at) / 60;
    return [450 + 130 * Math.cos(angle), 350 + 100 * Math.sin(angle)] as const;
  });
  const { cloud, view, rows } = shown;
  const seen = { ...view, dimmed: new Uint8Array(rows) };
  let found = 0;
  const act = (what: () => void, changes: boolean) => {
    const took: number[] = [];
    for (let at = 0; at < times; at++) {
      cloud.draw({ ...seen, mix: changes ? at / times : 1 });
      finish();
      if (!changes) what();
      const began = performance.now();
      what();
      took.push(performance.now() - began);
    }
    return { median: median(took), least: took[0]! };
  };
  const lasso = () => void (found = cloud.lasso(corners).length);
  const pick = () => void cloud.pick(450, 350);
  draw(0, false);
  return { lasso: act(lasso, true), again: act(lasso, false), pick: act(pick, true), hover: act(pick, false), found };
}

let cache: FrameCache;
const open = (limit: number): void => void (cache = new FrameCache(new HttpSource("frames/"), limit));

/** Plays steps from the server as the run screen does: fetched ahead, glided to, then drawn at rest. */
async function play(from: number, to: number, count: number): Promise<{ held: number; glError: number }> {
  const { cloud, view, gl } = shown;
  const names = Array.from({ length: count }, (_, at) => String(at));
  let before: Frame | null = null;
  for (let at = from; at < to; at++) {
    const data = await cache.get(names[at % count]!);
    cache.prefetch(neighbors(names, at % count, 1));
    const next: Frame = { data, unit, radius: 1 };
    for (const mix of [0.5, 1]) {
      await turn();
      cloud.setFrames(before ?? next, next, K);
      cloud.draw({ ...view, mix, moving: mix < 1 });
    }
    before = next;
  }
  finish();
  return { held: cache.bytes, glError: gl.getError() };
}

Object.assign(window, { bench: { setUp, drawn, played, chosen, open, play } });
