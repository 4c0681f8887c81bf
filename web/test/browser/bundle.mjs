/** Bundles the page of the browser tests into the folder given. */
import { build } from "vite";

await build({
  configFile: false,
  logLevel: "warn",
  build: {
    outDir: process.argv[2],
    lib: { entry: "test/browser/page.ts", formats: ["iife"], name: "page", fileName: () => "page.js" },
  },
});
