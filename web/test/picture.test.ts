import { expect, it } from "vitest";
import { wrapped } from "../src/lib/picture";

it("a caption breaks between words, and within a language that has no spaces", () => {
  const fits = (line: string) => line.length <= 8;
  expect(wrapped("ARI 0.60 of all tasks", fits)).toEqual(["ARI 0.60", "of all", "tasks"]);
  expect(wrapped("状態はタスクごとにまとまる", fits)).toEqual(["状態はタスクごと", "にまとまる"]);
  expect(wrapped("", fits)).toEqual([]);
});
