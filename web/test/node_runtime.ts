import { readFile } from "node:fs/promises";
import { join } from "node:path";

import * as ort from "onnxruntime-web";

import type { ReadFile } from "../src/model.js";
import type { Runtime } from "../src/synthesis.js";

ort.env.wasm.numThreads = 1;

/** ONNX Runtime's WebAssembly in Node. */
export const nodeRuntime: Runtime = {
  prepare: async () => undefined,
  createSession: (model) => ort.InferenceSession.create(model, { executionProviders: ["wasm"] }),
  tensor: (values, shape) => new ort.Tensor("float32", values, shape),
};

/** Reads the files of a folder. */
export function folderReader(folder: string): ReadFile {
  return (name) => readFile(join(folder, name)).catch(() => null);
}
