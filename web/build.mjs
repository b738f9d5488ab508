// Builds dist/, or the tests: node build.mjs [--tests]

import { cp, mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { gzip } from "node:zlib";

import asc from "assemblyscript/asc";
import * as esbuild from "esbuild";

const KERNEL = [
  "kernel/kernel.ts",
  ...["--outFile", "build/kernel.wasm", "--runtime", "stub", "--optimizeLevel", "3", "--shrinkLevel", "0", "--noAssert"],
  ...["--enable", "simd", "--initialMemory", "1"],
];

await mkdir("build", { recursive: true });
const { error, stderr } = await asc.main(KERNEL);
if (error) {
  process.stderr.write(stderr.toString());
  process.exit(1);
}

const shared = {
  bundle: true,
  format: "esm",
  loader: { ".wasm": "binary" },
  logLevel: "warning",
};

const tests = {
  ...shared,
  entryPoints: ["test/*.test.ts"],
  outdir: "build/test",
  outExtension: { ".js": ".mjs" },
  platform: "node",
  target: "node20",
  packages: "external",
};

const page = {
  ...shared,
  entryPoints: {
    page: "page/page.ts",
    "tmix-image": "src/element.ts",
    trimix: "src/index.ts",
    worker: "src/worker.ts",
    "service-worker": "src/service_worker.ts",
  },
  outdir: "dist",
  splitting: true,
  chunkNames: "[name]-[hash]",
  minify: true,
  target: "es2022",
  // The builds of ONNX Runtime that fetch their WebAssembly from where they are told.
  conditions: ["onnxruntime-web-use-extern-wasm"],
};

/** ONNX Runtime's WebAssembly, packed: folders without a server of their own send files as they are. */
async function packRuntime(name) {
  const from = "node_modules/onnxruntime-web/dist";
  await cp(join(from, `${name}.mjs`), join("dist/ort", `${name}.mjs`));
  const packed = await promisify(gzip)(await readFile(join(from, `${name}.wasm`)), { level: 9 });
  await writeFile(join("dist/ort", `${name}.wasm.gz`), packed);
}

if (process.argv.includes("--tests")) {
  await esbuild.build(tests);
} else {
  for (const made of await readdir("dist").catch(() => [])) {
    // Models and examples are others' work.
    if (/\.(js|css|html|svg)$/.test(made)) await rm(join("dist", made));
  }
  await mkdir("dist/ort", { recursive: true });
  await esbuild.build(page);
  for (const file of ["index.html", "page.css", "icon.svg"]) await cp(join("page", file), join("dist", file));
  for (const name of ["ort-wasm-simd-threaded", "ort-wasm-simd-threaded.jspi"]) await packRuntime(name);
}
