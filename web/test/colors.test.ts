import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { css, palette } from "../src/lib/colors";

const light = ([r, g, b]: readonly number[]): number => {
  const part = (one: number) => (one / 255 <= 0.04045 ? one / 255 / 12.92 : ((one / 255 + 0.055) / 1.055) ** 2.4);
  return 0.2126 * part(r!) + 0.7152 * part(g!) + 0.0722 * part(b!);
};

it("all colors stand out from a dark page, and the styles say the same blue", () => {
  const stage = light([35, 39, 47]);
  for (const color of palette(true)) expect((light(color) + 0.05) / (stage + 0.05), css(color)).toBeGreaterThan(3.8);
  const styles = readFileSync(new URL("../src/app.css", import.meta.url), "utf8");
  expect(styles.match(/--blue: [^;]*/g)).toEqual([false, true, false].map((dark) => `--blue: ${css(palette(dark)[0]!)}`));
});
