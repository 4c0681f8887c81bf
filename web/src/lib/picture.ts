/** Pictures as files that stand alone: what the page's styles say is written into them. */

const STYLES = [
  "fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "opacity",
  "font-family", "font-size", "font-weight", "text-anchor",
] as const;
const LINE = 18;
const EDGE = 10;
const SAMPLE = 24;

/** A line below a chart; with a color it is the key of a curve. */
export type Below = { text: string; color?: string; dash?: string | undefined };

/**
 * A chart of the page as an SVG file.
 *
 * @param chart as it is shown
 * @param lines what a reader must know, written below it
 */
export function svgFile(chart: SVGSVGElement, lines: readonly Below[]): string {
  const copy = chart.cloneNode(true) as SVGSVGElement;
  const shown = [chart, ...chart.querySelectorAll("*")];
  [copy, ...copy.querySelectorAll("*")].forEach((node, i) => {
    const style = getComputedStyle(shown[i]!);
    for (const name of STYLES) node.setAttribute(name, style.getPropertyValue(name));
    node.removeAttribute("class");
  });
  const { width, height } = chart.getBoundingClientRect();
  const page = getComputedStyle(document.body);
  const make = (name: string, attributes: Record<string, string | number>) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
    return node;
  };
  const tall = height + lines.length * LINE + EDGE;
  copy.prepend(make("rect", { width, height: tall, fill: page.backgroundColor }));
  lines.forEach((line, i) => {
    const y = height + (i + 1) * LINE;
    const x = line.color ? 2 * EDGE + SAMPLE : EDGE;
    const text = make("text", { x, y, fill: page.color, "font-size": 12, "font-family": page.fontFamily });
    text.textContent = line.text;
    copy.append(text);
    if (!line.color) return;
    const at = { x1: EDGE, x2: EDGE + SAMPLE, y1: y - 4, y2: y - 4, stroke: line.color, "stroke-width": 2 };
    copy.append(make("line", line.dash ? { ...at, "stroke-dasharray": line.dash } : at));
  });
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("viewBox", `0 0 ${width} ${tall}`);
  copy.setAttribute("width", String(width));
  copy.setAttribute("height", String(tall));
  copy.removeAttribute("aria-hidden");
  return new XMLSerializer().serializeToString(copy);
}

/**
 * Points with their labels as a PNG file.
 *
 * @param points of the drawing area, at the resolution of the screen
 * @param width of the area in CSS pixels
 * @param labels at CSS pixels of the area
 * @param lines what a reader must know, written below it
 */
export function pngFile(
  points: HTMLCanvasElement, width: number, labels: readonly { x: number; y: number; text: string }[], lines: readonly string[],
): Promise<Blob | null> {
  const scale = points.width / width;
  const file = document.createElement("canvas");
  const pen = file.getContext("2d")!;
  const page = getComputedStyle(document.body);
  const font = `12px ${page.fontFamily}`;
  pen.font = font;
  const below = lines.flatMap((line) => wrapped(line, (text) => pen.measureText(text).width <= width - 2 * EDGE));
  // setting a size resets the pen
  file.width = points.width;
  file.height = points.height + (below.length * LINE + EDGE) * scale;
  pen.fillStyle = page.backgroundColor;
  pen.fillRect(0, 0, file.width, file.height);
  pen.drawImage(points, 0, 0);
  pen.scale(scale, scale);
  pen.fillStyle = page.color;
  pen.font = `600 12px ${page.fontFamily}`;
  pen.textAlign = "center";
  for (const label of labels) pen.fillText(label.text, label.x, label.y - 14);
  pen.font = font;
  pen.textAlign = "left";
  below.forEach((line, i) => pen.fillText(line, EDGE, points.height / scale + (i + 1) * LINE));
  return new Promise((done) => file.toBlob(done));
}

/** A text in lines that fit, broken between words where it has any, else between characters. */
export function wrapped(text: string, fits: (line: string) => boolean): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/(?<=\s)/u)) {
    // a language without spaces is one long word
    for (const piece of fits(word.trim()) ? [word] : [...word]) {
      if (line && !fits((line + piece).trimEnd())) {
        lines.push(line.trimEnd());
        line = "";
      }
      line += piece;
    }
  }
  return line.trim() ? [...lines, line.trimEnd()] : lines;
}
