/** Colors that people with any color vision can tell apart, and the ramp of the maps. */

/** Colors of the tasks in focus, after Okabe and Ito. */
export const FOCUS: readonly [number, number, number][] = [
  [0, 114, 178],
  [230, 159, 0],
  [0, 158, 115],
  [213, 94, 0],
  [86, 180, 233],
  [204, 121, 167],
];
/** The first of them on a dark page, where it would hardly be seen; `--blue` in the styles says the same. */
export const LIGHT_BLUE: [number, number, number] = [72, 132, 246];
/** The colors of the tasks in focus, as a canvas of a page draws them. */
export const palette = (dark: boolean): readonly [number, number, number][] => (dark ? [LIGHT_BLUE, ...FOCUS.slice(1)] : FOCUS);
/** The color of a place in focus, by the theme of the page. */
export const focusCss = (at: number): string => (at % FOCUS.length === 0 ? "var(--blue)" : css(FOCUS[at % FOCUS.length]!));
/** Whether a page of this theme is dark. */
export const isDark = (theme: string): boolean =>
  theme === "dark" || (theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
export const MOST_FOCUS = FOCUS.length;
/** Rows of tasks that are not in focus. */
export const OTHER: [number, number, number] = [148, 152, 160];

export const css = (color: readonly number[]): string => `rgb(${color.join(" ")})`;

// viridis: even steps of lightness, readable in gray
const RAMP = [
  [68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141],
  [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37],
] as const;

/** The color of a value from 0 to 1; what lies outside is drawn as the nearest end. */
export function ramp(value: number): string {
  const at = Math.min(1, Math.max(0, value)) * (RAMP.length - 1);
  const low = Math.min(Math.floor(at), RAMP.length - 2);
  const part = at - low;
  return css(RAMP[low]!.map((one, i) => Math.round(one + part * (RAMP[low + 1]![i]! - one))));
}

/** Black or white, whichever is read better on the ramp's color. */
export const ink = (value: number): string => (value > 0.55 ? "#111" : "#fff");

export const rampCss = `linear-gradient(90deg, ${RAMP.map((one) => css(one)).join(", ")})`;

/** The color of a task: its own while it is in focus, else gray. */
export function colorOf(code: number, focus: readonly number[]): string {
  const at = focus.indexOf(code);
  return at < 0 ? css(OTHER) : focusCss(at);
}
