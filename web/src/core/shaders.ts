/** The programs that run on the graphics card. */

/** Places of the vertex attributes. The frames take one vec4 for every four coordinates. */
export const SLOT = { color: 0, shape: 1, flags: 2, first: 3 } as const;

/** Flags of a row. */
export const FLAG = { dimmed: 1, marked: 2, moved: 4, quiet: 8 } as const;

const list = (n: number, line: (i: number) => string): string => Array.from({ length: n }, (_, i) => line(i)).join("\n");

/**
 * Mixes two frames, projects k coordinates to two, and looks the color up.
 * @param vectors How many vec4 a frame takes (k / 4).
 */
export const pointVertex = (vectors: number): string => `#version 300 es
precision highp float;
precision highp int;
layout(location = ${SLOT.color}) in float color;
layout(location = ${SLOT.shape}) in float shape;
layout(location = ${SLOT.flags}) in float flags;
${list(vectors, (i) => `layout(location = ${SLOT.first + i}) in vec4 a${i};`)}
${list(vectors, (i) => `layout(location = ${SLOT.first + vectors + i}) in vec4 b${i};`)}
uniform vec4 planeX[${vectors}];
uniform vec4 planeY[${vectors}];
uniform vec2 scale;
uniform vec2 offset;
uniform vec2 shift;
uniform vec2 unit;
uniform vec2 pan;
uniform float size;
uniform int colors;
uniform highp sampler2D palette;
flat out vec4 ink;
flat out int kind;
flat out float across;
void main() {
  int bits = int(flags);
  vec2 at = -offset;
  vec4 value;
${list(vectors, (i) => `  value = a${i} * scale.x + b${i} * scale.y; at += vec2(dot(value, planeX[${i}]), dot(value, planeY[${i}]));`)}
  if ((bits & ${FLAG.moved}) != 0) at += shift;
  gl_Position = vec4(at * unit + pan, 0.0, 1.0);
  kind = int(shape);
  bool marked = (bits & ${FLAG.marked}) != 0;
  bool dimmed = (bits & ${FLAG.dimmed}) != 0;
  // A cross needs room to be told from a disk; a dot is the quietest of the three.
  across = size * (kind == 0 ? 0.7 : kind == 2 ? 1.3 : 1.0) * (marked ? 1.9 : 1.0) * (dimmed ? 0.8 : 1.0);
  gl_PointSize = max(across, 1.0);
  int code = int(color);
  vec3 rgb = code < 0 || colors == 0 ? vec3(0.55) : texelFetch(palette, ivec2(code % colors, 0), 0).rgb;
  float alpha = dimmed ? 0.12 : (bits & ${FLAG.quiet}) != 0 ? 0.3 : 0.85;
  if (marked) alpha = 1.0;
  ink = vec4(rgb * alpha, alpha);
}`;

/** Disks, crosses and dots; colors are premultiplied. */
export const POINT_FRAGMENT = `#version 300 es
precision highp float;
flat in vec4 ink;
flat in int kind;
flat in float across;
out vec4 result;
void main() {
  vec2 at = abs(gl_PointCoord * 2.0 - 1.0);
  if (kind == 2) {
    // The arms are at least a pixel and a half wide.
    if (abs(at.x - at.y) > max(0.3, 3.0 / across)) discard;
  } else if (across > 2.5 && dot(at, at) > 1.0) discard;
  result = ink;
}`;

/** Opacity of a path at its first step. */
export const FAINTEST = 0.2;

/** Lines that are on the plane already. */
export const LINE_VERTEX = `#version 300 es
precision highp float;
layout(location = 0) in vec2 at;
uniform vec2 unit;
uniform vec2 pan;
uniform float last;
out float age;
// A path is faint where it begins.
void main() { gl_Position = vec4(at * unit + pan, 0.0, 1.0); age = ${FAINTEST} + (1.0 - ${FAINTEST}) * float(gl_VertexID) / max(last, 1.0); }`;

export const LINE_FRAGMENT = `#version 300 es
precision highp float;
uniform vec3 ink;
in float age;
out vec4 result;
void main() { result = vec4(ink * age, age); }`;
