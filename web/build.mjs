// Builds dist/, or the tests: node build.mjs [--tests]

import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
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

if (process.argv.includes("--tests")) {
  await esbuild.build({
    ...shared,
    entryPoints: ["test/*.test.ts"],
    outdir: "build/test",
    outExtension: { ".js": ".mjs" },
    platform: "node",
    target: "node20",
    packages: "external",
  });
}
