import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

export default defineConfig({
  // the server may stand behind a proxy, below any path
  base: "./",
  plugins: [svelte()],
  build: {
    outDir: "../src/nucleate/views/web",
    emptyOutDir: true,
    target: "es2022",
    cssCodeSplit: false,
    assetsInlineLimit: 100_000,
    modulePreload: false,
    // fixed names: the report inlines these two files
    rolldownOptions: {
      output: { entryFileNames: "app.js", chunkFileNames: "app-[name].js", assetFileNames: "app[extname]" },
    },
  },
});
