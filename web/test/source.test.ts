import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { paths } from "../src/core/paths";
import { EmbeddedSource, HttpSource, SourceError, fromBase64, readChange } from "../src/core/source";

const page = (parts: Record<string, string>) => ({
  getElementById: (id: string) => (id in parts ? { textContent: parts[id]! } : null),
});

describe("a report", () => {
  const source = new EmbeddedSource(
    page({ "data:runs.json": '{"runs":[]}', "data:a.i16": " AQD/\n/w== ", "data:a.csv": "x\n1\n" }),
  );
  it("gives text and bytes", async () => {
    expect(await source.json("runs.json")).toEqual({ runs: [] });
    expect([...new Int16Array(await source.bytes("a.i16"))]).toEqual([1, -1]);
  });
  it("names what it lacks", async () => {
    await expect(source.json("run/x/view.json")).rejects.toThrow("run/x/view.json");
    await expect(source.bytes("b")).rejects.toBeInstanceOf(SourceError);
    expect(source.link("b", "csv")).toBeNull();
  });
  it("links to what it carries, once", async () => {
    const link = source.link("a", "csv")!;
    expect(await (await fetch(link)).text()).toBe("x\n1\n");
    expect(source.link("a", ".csv")).toBe(link);
  });
  it("decodes without the browser's own decoder as with it", () => {
    const bytes = Uint8Array.from({ length: 300 }, (_, i) => (i * 7) & 255);
    expect(new Uint8Array(fromBase64(Buffer.from(bytes).toString("base64")))).toEqual(bytes);
  });
});

describe("a server", () => {
  let server: Server;
  let root = "";
  const seen: string[] = [];
  beforeEach(async () => {
    seen.length = 0;
    server = createServer((request, response) => {
      seen.push(request.url!);
      if (request.url!.endsWith("view.json")) response.end('{"name":"a"}');
      else response.writeHead(404).end("no such run");
    }).listen(0);
    await new Promise((done) => server.once("listening", done));
    root = `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/`;
  });
  afterEach(() => void server.close());

  it("is asked below its root, ids escaped", async () => {
    expect(await new HttpSource(root).json(paths.view("../a/b"))).toEqual({ name: "a" });
    expect(seen).toEqual(["/api/run/..%2Fa%2Fb/view.json"]);
  });
  it("tells why it refused", async () => {
    const failure = await new HttpSource(root).bytes("run/x").catch((error: unknown) => error);
    expect(failure).toMatchObject({ status: 404, path: "run/x" });
    expect(String(failure)).toContain("no such run");
  });
  it("can be stopped", async () => {
    const stop = new AbortController();
    stop.abort();
    await expect(new HttpSource(root).bytes("run/x", stop.signal)).rejects.toThrow("abort");
  });
});

it("an unreadable event means that anything may have changed", () => {
  expect(readChange('{"run":"a","lines":3}')).toEqual({ run: "a", lines: 3 });
  for (const bad of ["", "null", "[]", '{"run":1,"lines":"x"}']) expect(readChange(bad)).toEqual({ run: "", lines: 0 });
});
