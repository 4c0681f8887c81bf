/** Draws the cloud on a canvas. */
import { css, FOCUS, OTHER } from "../lib/colors";

export type Picture = {
  points: Float32Array;
  codes: readonly number[];
  focus: readonly number[];
  /** Rows drawn larger, with a ring. */
  chosen: ReadonlySet<number>;
  /** Rows answered wrongly are drawn hollow. */
  wrong: readonly boolean[] | null;
  only: number | null;
  zoom: number;
  pan: [number, number];
  labels: { x: number; y: number; text: string; code: number }[];
};

/** Radius of the cloud that fits the canvas, in units of its mean distance. */
const REACH = 2.1;

export function place(picture: Pick<Picture, "zoom" | "pan">, width: number, height: number) {
  const scale = (Math.min(width, height) / 2 / REACH) * picture.zoom;
  return {
    x: (x: number) => width / 2 + (x + picture.pan[0]) * scale,
    y: (y: number) => height / 2 - (y + picture.pan[1]) * scale,
    scale,
  };
}

export function colorOf(code: number, focus: readonly number[]): string {
  const at = focus.indexOf(code);
  return css(at < 0 ? OTHER : FOCUS[at % FOCUS.length]!);
}

export function paint(canvas: HTMLCanvasElement, picture: Picture): void {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
  if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  if (!pen) return;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  const to = place(picture, width, height);
  const size = picture.codes.length > 2000 ? 2 : picture.codes.length > 600 ? 3 : 4;
  // tasks in focus lie over the others
  for (const inFocus of [false, true]) {
    picture.codes.forEach((code, row) => {
      if (picture.focus.includes(code) !== inFocus) return;
      const faded = picture.only !== null && picture.only !== code;
      pen.globalAlpha = faded ? 0.08 : inFocus ? 0.85 : 0.3;
      dot(pen, to.x(picture.points[2 * row]!), to.y(picture.points[2 * row + 1]!), inFocus ? size : size - 1,
        colorOf(code, picture.focus), picture.wrong?.[row] ?? false);
    });
  }
  pen.globalAlpha = 1;
  const style = getComputedStyle(canvas);
  const paper = style.getPropertyValue("--panel");
  const ink = style.getPropertyValue("--ink");
  pen.strokeStyle = ink;
  pen.lineWidth = 2;
  for (const row of picture.chosen) {
    pen.beginPath();
    pen.arc(to.x(picture.points[2 * row]!), to.y(picture.points[2 * row + 1]!), size + 4, 0, 2 * Math.PI);
    pen.stroke();
  }
  pen.font = "600 12px system-ui, sans-serif";
  pen.textAlign = "center";
  for (const label of picture.labels) {
    pen.lineWidth = 4;
    pen.strokeStyle = paper;
    pen.fillStyle = ink;
    pen.strokeText(label.text, to.x(label.x), to.y(label.y) - 12);
    pen.fillText(label.text, to.x(label.x), to.y(label.y) - 12);
  }
}

function dot(pen: CanvasRenderingContext2D, x: number, y: number, size: number, color: string, hollow: boolean): void {
  pen.beginPath();
  pen.arc(x, y, hollow ? size - 0.75 : size, 0, 2 * Math.PI);
  if (hollow) {
    pen.strokeStyle = color;
    pen.lineWidth = 1.5;
    pen.stroke();
  } else {
    pen.fillStyle = color;
    pen.fill();
  }
}

/** The row drawn nearest to a place, or -1. */
export function pick(picture: Picture, width: number, height: number, x: number, y: number): number {
  const to = place(picture, width, height);
  let best = -1;
  let near = 14 ** 2;
  picture.codes.forEach((_, row) => {
    const far = (to.x(picture.points[2 * row]!) - x) ** 2 + (to.y(picture.points[2 * row + 1]!) - y) ** 2;
    if (far < near) [best, near] = [row, far];
  });
  return best;
}
