import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { paths } from "../src/core/paths";
import { HttpSource, readChange } from "../src/core/source";

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
