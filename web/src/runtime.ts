// ONNX Runtime in a browser: WebGPU where there is one, else WebAssembly, with threads where the page is isolated.

import type { InferenceSession } from "onnxruntime-web";

import { TmixError } from "./errors.js";
import type { Runtime } from "./synthesis.js";

type Ort = typeof import("onnxruntime-web");

/** What the transforms run on; `auto` takes WebGPU where there is one. */
export type Backend = "auto" | "webgpu" | "wasm";

interface Build {
  readonly ort: Ort;
  readonly name: "webgpu" | "wasm";
}

/** ONNX Runtime, fetched when it is needed first. */
export class BrowserRuntime implements Runtime {
  private build: Promise<Build> | undefined;
  private ort: Ort | undefined;
  /** What runs the transforms, in words. */
  description = "";

  /**
   * @param base address of the folder that holds `ort/`.
   * @param threads where the page is isolated.
   */
  constructor(
    private readonly base: string,
    private readonly backend: Backend,
    private readonly threads: number,
  ) {}

  /** Begins to fetch what is needed. */
  prepare(): Promise<Build> {
    this.build ??= this.chosen().catch((error: unknown) => {
      // What could not be fetched may be there the next time.
      this.build = undefined;
      throw error;
    });
    return this.build;
  }

  private async chosen(): Promise<Build> {
    return this.load(this.backend === "webgpu" || (this.backend === "auto" && (await hasGpu())));
  }

  async createSession(model: Uint8Array): Promise<InferenceSession> {
    let { ort, name } = await this.prepare();
    let session: InferenceSession;
    try {
      session = await ort.InferenceSession.create(model, { executionProviders: [name] });
    } catch (error) {
      if (this.backend !== "auto" || name === "wasm") throw error;
      // A GPU that cannot do it; processors can.
      this.build = this.load(false);
      ({ ort, name } = await this.build);
      session = await ort.InferenceSession.create(model, { executionProviders: [name] });
    }
    this.ort = ort;
    const threads = ort.env.wasm.numThreads ?? 1;
    this.description = name === "webgpu" ? "WebGPU" : `WebAssembly, ${threads} ${threads === 1 ? "thread" : "threads"}`;
    return session;
  }

  private async load(isOnGpu: boolean): Promise<Build> {
    const ort: Ort = isOnGpu ? await import("onnxruntime-web/jspi") : await import("onnxruntime-web/wasm");
    const name = `ort-wasm-simd-threaded${isOnGpu ? ".jspi" : ""}`;
    ort.env.logLevel = "error";
    ort.env.wasm.wasmPaths = { mjs: new URL(`ort/${name}.mjs`, this.base).href };
    ort.env.wasm.wasmBinary = await fetchUnpacked(new URL(`ort/${name}.wasm.gz`, this.base).href);
    ort.env.wasm.numThreads = self.crossOriginIsolated ? this.threads : 1;
    return { ort, name: isOnGpu ? "webgpu" : "wasm" };
  }

  tensor(values: Float32Array, shape: readonly number[]) {
    if (this.ort === undefined) throw new Error("a session must be made before tensors, found none: call createSession");
    return new this.ort.Tensor("float32", values, shape);
  }
}

interface Gpu {
  requestAdapter(): Promise<{ readonly info?: { readonly isFallbackAdapter?: boolean } } | null>;
}

/** Whether there is a GPU, and WebAssembly that can wait for it. */
async function hasGpu(): Promise<boolean> {
  const { gpu } = navigator as Navigator & { readonly gpu?: Gpu };
  if (gpu === undefined || !("Suspending" in WebAssembly)) return false;
  const adapter = await gpu.requestAdapter().catch(() => null);
  return adapter !== null && adapter.info?.isFallbackAdapter !== true;
}

/** The bytes of a gzip file; servers may have unpacked it already. */
async function fetchUnpacked(address: string): Promise<ArrayBuffer> {
  const bytes = await fetchBytes(address);
  if (bytes === null) throw unreachable(address, "no such file");
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes.buffer;
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

/** The bytes of an address, null where there are none. */
export async function fetchBytes(address: string): Promise<Uint8Array<ArrayBuffer> | null> {
  let response: Response;
  try {
    response = await fetch(address);
  } catch {
    throw unreachable(address, "no answer");
  }
  if (response.status === 404) return null;
  if (!response.ok) throw unreachable(address, `status ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

function unreachable(address: string, found: string): TmixError {
  return new TmixError("unreachable", `${address} must be reachable from this page, found ${found}: check the address`);
}
