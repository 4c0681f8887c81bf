import { describe, expect, it } from "vitest";
import { gzipSync } from "node:zlib";
import { csvOf } from "../src/core/csv";
import { carriesData, EmbeddedSource, fromBase64 } from "../src/core/embedded";
import { paths } from "../src/core/paths";
import { SourceError } from "../src/core/source";

const page = (parts: Record<string, string>) => ({
  getElementById: (id: string) => (id in parts ? { textContent: parts[id]! } : null),
});
const zipped = (value: unknown): string => gzipSync(JSON.stringify(value)).toString("base64");

describe("a report", () => {
  const source = new EmbeddedSource(
    page({
      "data:": `runs.json ${zipped({ runs: [] })}\n`,
      "data:run/a/frames/b%281%29/last/tasks/": "1.i16 AQD//w==\n11.i16 AgA=",
      "data:run/a/": `view.json ${zipped({ name: "</script> é" })}`,
    }),
  );
  it("gives text and bytes by the paths that a server has", async () => {
    expect(await source.json(paths.runs())).toEqual({ runs: [] });
    expect(await source.json(paths.view("a"))).toEqual({ name: "</script> é" });
    const frame = async (step: number) => [...new Int16Array(await source.bytes(paths.frame("a", "b(1)", "last", "tasks", step)))];
    expect(await frame(1)).toEqual([1, -1]);
    expect(await frame(11)).toEqual([2]);
  });
  it("names what it lacks", async () => {
    await expect(source.json("run/x/view.json")).rejects.toThrow("run/x/view.json");
    await expect(source.bytes("run/a/frames/b%281%29/last/tasks/12.i16")).rejects.toBeInstanceOf(SourceError);
  });
  it("is told from a page that asks a server", () => {
    expect(carriesData(page({ "data:": "" }))).toBe(true);
    expect(carriesData(page({ nucleate: "" }))).toBe(false);
  });
  it("decodes without the browser's own decoder as with it", () => {
    const bytes = Uint8Array.from({ length: 300 }, (_, i) => (i * 7) & 255);
    expect(new Uint8Array(fromBase64(Buffer.from(bytes).toString("base64")))).toEqual(bytes);
  });
});

it("a table as CSV keeps every value, with quotes where they are needed", () => {
  const rows = [["a,b", 0.25, null], ['say "so"\n', -1e-7, true]];
  expect(csvOf({ columns: ["x", "y", "z"], rows })).toBe('x,y,z\n"a,b",0.25,\n"say ""so""\n",-1e-7,true\n');
});
