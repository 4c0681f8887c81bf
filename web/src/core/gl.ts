/** Draws a cloud with WebGL2: two frames of whole numbers, mixed and projected on the card. */
import { pixelsPerUnit } from "./camera";
import { MOST_MOVING, placedTrail, scales, shiftOnPlane, type Frame, type Painter, type Rgb, type RowLooks, type Scene } from "./scene";
import { FLAG, LINE_FRAGMENT, LINE_VERTEX, POINT_FRAGMENT, SLOT, pointVertex } from "./shaders";

type Data = ArrayBufferView<ArrayBuffer>;

/** Bytes of frames kept on the card. 200 frames of 100k rows would be 320 MB. */
const CARD_BYTES = 96 * 2 ** 20;

/** Settings of the context: no antialiasing (it costs 2.2 times the time on points). */
export const CONTEXT: WebGLContextAttributes = {
  alpha: true, antialias: false, depth: false, stencil: false,
  premultipliedAlpha: true, preserveDrawingBuffer: false, powerPreference: "low-power",
};

function compile(gl: WebGL2RenderingContext, vertex: string, fragment: string): WebGLProgram {
  const program = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]] as const) {
    const shader = gl.createShader(kind)!;
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
    gl.deleteShader(shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
    const logs = (gl.getAttachedShaders(program) ?? []).map((one) => gl.getShaderInfoLog(one));
    throw new Error(`The graphics card refused the program: ${gl.getProgramInfoLog(program)} ${logs.join(" ")}`);
  }
  return program;
}

/** A program that asks for each uniform's place once. */
class Program {
  private readonly places = new Map<string, WebGLUniformLocation | null>();
  readonly program: WebGLProgram;
  constructor(private readonly gl: WebGL2RenderingContext, vertex: string, fragment: string) {
    this.program = compile(gl, vertex, fragment);
  }
  at(name: string): WebGLUniformLocation | null {
    if (!this.places.has(name)) this.places.set(name, this.gl.getUniformLocation(this.program, name));
    return this.places.get(name)!;
  }
}

/** The painter of browsers with WebGL2. A lost context needs a new one. */
export class GlPainter implements Painter {
  readonly note = "";
  private readonly points = new Map<number, Program>();
  private readonly lines: Program;
  private readonly frames = new Map<Int16Array, WebGLBuffer>();
  private frameBytes = 0;
  private readonly array: WebGLVertexArrayObject;
  private readonly lineArray: WebGLVertexArrayObject;
  private readonly buffers: Record<"color" | "shape" | "flags" | "order" | "line", WebGLBuffer>;
  private readonly texture: WebGLTexture;
  private colors: readonly Rgb[] = [];
  private flagsFrom: readonly (Uint8Array | undefined)[] | null = null;

  constructor(private readonly gl: WebGL2RenderingContext) {
    const make = (): WebGLBuffer => gl.createBuffer();
    this.buffers = { color: make(), shape: make(), flags: make(), order: make(), line: make() };
    this.texture = gl.createTexture();
    this.lines = new Program(gl, LINE_VERTEX, LINE_FRAGMENT);
    this.array = gl.createVertexArray();
    this.lineArray = gl.createVertexArray();
    gl.bindVertexArray(this.lineArray);
    this.attribute(this.buffers.line, 0, 2, gl.FLOAT, 0, 0);
    gl.bindVertexArray(null);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.disable(gl.DITHER);
  }

  looks(rows: RowLooks, order: Uint32Array<ArrayBuffer>): void {
    const { gl, buffers } = this;
    gl.bindVertexArray(this.array);
    this.upload(buffers.color, new Int16Array(rows.color));
    this.attribute(buffers.color, SLOT.color, 1, gl.SHORT, 0, 0);
    this.upload(buffers.shape, new Uint8Array(rows.shape));
    this.attribute(buffers.shape, SLOT.shape, 1, gl.UNSIGNED_BYTE, 0, 0);
    this.upload(buffers.flags, new Uint8Array(rows.count));
    this.attribute(buffers.flags, SLOT.flags, 1, gl.UNSIGNED_BYTE, 0, 0);
    // An index draws the rows shuffled, so that the part drawn in motion is a fair sample.
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, buffers.order);
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, order, gl.STATIC_DRAW);
    gl.bindVertexArray(null);
    this.flagsFrom = null;
  }

  palette(colors: readonly Rgb[]): void {
    const { gl } = this;
    this.colors = colors.slice(0, gl.getParameter(gl.MAX_TEXTURE_SIZE) as number);
    const width = Math.max(1, this.colors.length);
    const pixels = new Uint8Array(4 * width);
    this.colors.forEach((color, at) => pixels.set([...color, 255], 4 * at));
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, width, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
  }

  draw(scene: Scene): void {
    const { gl } = this;
    gl.viewport(0, 0, gl.drawingBufferWidth, gl.drawingBufferHeight);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    this.drawPoints(scene);
    if (scene.trails.length) this.drawTrails(scene);
  }

  read(): Uint8Array {
    const { gl } = this;
    const bytes = new Uint8Array(4 * gl.drawingBufferWidth * gl.drawingBufferHeight);
    gl.readPixels(0, 0, gl.drawingBufferWidth, gl.drawingBufferHeight, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
    return bytes;
  }

  destroy(): void {
    const { gl } = this;
    [...this.frames.values(), ...Object.values(this.buffers)].forEach((one) => gl.deleteBuffer(one));
    gl.deleteVertexArray(this.array);
    gl.deleteVertexArray(this.lineArray);
    gl.deleteTexture(this.texture);
    [...this.points.values(), this.lines].forEach((one) => gl.deleteProgram(one.program));
    this.frames.clear();
  }

  private drawPoints(scene: Scene): void {
    const { gl } = this;
    const { a, b, k, view } = scene;
    const vectors = k / 4;
    const program = this.programFor(vectors);
    gl.useProgram(program.program);
    gl.bindVertexArray(this.array);
    this.setFlags(scene);
    this.bindFrame(a, b, k, vectors);
    gl.uniform4fv(program.at("planeX"), view.plane.subarray(0, k));
    gl.uniform4fv(program.at("planeY"), view.plane.subarray(k, 2 * k));
    gl.uniform2f(program.at("scale"), ...scales(a, b, view));
    gl.uniform2f(program.at("offset"), ...(view.offset ?? [0, 0]));
    gl.uniform2f(program.at("shift"), ...shiftOnPlane(view, k));
    gl.uniform1f(program.at("size"), view.size * scene.ratio);
    gl.uniform1i(program.at("colors"), this.colors.length);
    gl.uniform1i(program.at("palette"), 0);
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    this.setCamera(program, scene);
    const count = view.moving ? Math.min(scene.rows, MOST_MOVING) : scene.rows;
    gl.drawElements(gl.POINTS, count, gl.UNSIGNED_INT, 0);
    gl.bindVertexArray(null);
  }

  private drawTrails(scene: Scene): void {
    const { gl } = this;
    gl.useProgram(this.lines.program);
    gl.bindVertexArray(this.lineArray);
    this.setCamera(this.lines, scene);
    for (const trail of scene.trails) {
      const points = placedTrail(trail, scene.k, scene.view) as Float32Array<ArrayBuffer>;
      const color = this.colors[trail.color] ?? [128, 128, 128];
      gl.uniform3f(this.lines.at("ink"), color[0] / 255, color[1] / 255, color[2] / 255);
      gl.uniform1f(this.lines.at("last"), points.length / 2 - 1);
      this.upload(this.buffers.line, points);
      gl.drawArrays(gl.LINE_STRIP, 0, points.length / 2);
    }
    gl.bindVertexArray(null);
  }

  /** From the plane to clip space, in which the canvas is 2 wide and y points up. */
  private setCamera(program: Program, scene: Scene): void {
    const size = pixelsPerUnit(scene.view, scene);
    const [x, y] = [2 / scene.width, 2 / scene.height];
    this.gl.uniform2f(program.at("unit"), size * x, size * y);
    this.gl.uniform2f(program.at("pan"), scene.view.pan[0] * x, -scene.view.pan[1] * y);
  }

  private programFor(vectors: number): Program {
    let program = this.points.get(vectors);
    if (!program) this.points.set(vectors, (program = new Program(this.gl, pointVertex(vectors), POINT_FRAGMENT)));
    return program;
  }

  private setFlags(scene: Scene): void {
    const { dimmed, marked, moved, quiet } = scene.view;
    const from = [dimmed, marked, moved, quiet];
    if (this.flagsFrom && from.every((one, at) => one === this.flagsFrom![at])) return;
    const flags = new Uint8Array(scene.rows);
    for (let row = 0; row < scene.rows; row++)
      flags[row] =
        (dimmed?.[row] ? FLAG.dimmed : 0) | (marked?.[row] ? FLAG.marked : 0) | (moved?.[row] ? FLAG.moved : 0) |
        (quiet?.[row] ? FLAG.quiet : 0);
    this.upload(this.buffers.flags, flags);
    this.flagsFrom = from;
  }

  private bindFrame(a: Frame, b: Frame, k: number, vectors: number): void {
    const { gl } = this;
    const buffers = [this.frame(a.data), this.frame(b.data)];
    this.forget(new Set([a.data, b.data]));
    buffers.forEach((buffer, which) => {
      for (let i = 0; i < vectors; i++)
        this.attribute(buffer, SLOT.first + which * vectors + i, 4, gl.SHORT, 2 * k, 8 * i);
    });
    // A former cloud of more coordinates left attributes on that would read past their end.
    for (let slot = SLOT.first + 2 * vectors; slot < 16; slot++) gl.disableVertexAttribArray(slot);
  }

  /** The buffer of a frame; kept, so that scrubbing back uploads nothing. */
  private frame(data: Int16Array<ArrayBuffer>): WebGLBuffer {
    let buffer = this.frames.get(data);
    if (buffer) this.frames.delete(data);
    else {
      buffer = this.gl.createBuffer();
      this.upload(buffer, data);
      this.frameBytes += data.byteLength;
    }
    this.frames.set(data, buffer);
    return buffer;
  }

  private forget(needed: ReadonlySet<Int16Array>): void {
    for (const [data, buffer] of this.frames) {
      if (this.frameBytes <= CARD_BYTES) return;
      if (needed.has(data)) continue;
      this.gl.deleteBuffer(buffer);
      this.frames.delete(data);
      this.frameBytes -= data.byteLength;
    }
  }

  private upload(buffer: WebGLBuffer, data: Data): void {
    this.gl.bindBuffer(this.gl.ARRAY_BUFFER, buffer);
    this.gl.bufferData(this.gl.ARRAY_BUFFER, data, this.gl.DYNAMIC_DRAW);
  }

  private attribute(buffer: WebGLBuffer, slot: number, size: number, type: number, stride: number, at: number): void {
    const { gl } = this;
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.enableVertexAttribArray(slot);
    gl.vertexAttribPointer(slot, size, type, false, stride, at);
  }
}
