// The decoder in a thread of its own, so that a page stays alive while a picture is decoded.

import type { Picture } from "./decode.js";
import { Decoder } from "./decode.js";
import type { FailureKind } from "./errors.js";
import { TmixError } from "./errors.js";
import type { Backend } from "./runtime.js";
import { BrowserRuntime, fetchBytes } from "./runtime.js";

/** Asks for a picture; the file's bytes are handed over. */
export interface Request {
  readonly id: number;
  readonly data: Uint8Array;
  readonly maximumPixels: number;
  readonly backend: Backend;
  readonly threads: number;
}

/** A picture, and what made it. */
export interface DecodedPicture extends Picture {
  /** In words, empty without a model. */
  readonly runtime: string;
}

export type Answer =
  | { readonly id: number; readonly progress: number }
  | { readonly id: number; readonly picture: DecodedPicture }
  | { readonly id: number; readonly failure: { readonly kind: FailureKind; readonly message: string } };

const base = new URL("./", self.location.href).href;
const decoders = new Map<Backend, { runtime: BrowserRuntime; decoder: Decoder }>();
let last: Promise<void> = Promise.resolve();

/** Threads are those of the first request: ONNX Runtime starts them once. */
function decoderOf(backend: Backend, threads: number): { runtime: BrowserRuntime; decoder: Decoder } {
  let found = decoders.get(backend);
  if (found === undefined) {
    const runtime = new BrowserRuntime(base, backend, threads);
    const decoder = new Decoder((name) => fetchBytes(new URL(`models/${name}`, base).href), runtime);
    decoders.set(backend, (found = { runtime, decoder }));
  }
  return found;
}

function send(answer: Answer, handedOver: Transferable[] = []): void {
  self.postMessage(answer, { transfer: handedOver });
}

async function answer({ id, data, maximumPixels, backend, threads }: Request): Promise<void> {
  const { runtime, decoder } = decoderOf(backend, threads);
  try {
    const picture = await decoder.decode(data, { maximumPixels, onProgress: (progress) => send({ id, progress }) });
    const buffers = [picture.samples.buffer, picture.alpha?.buffer, picture.bitMap?.bits.buffer];
    send(
      { id, picture: { ...picture, runtime: picture.modelName === null ? "" : runtime.description } },
      buffers.filter((buffer) => buffer !== undefined),
    );
  } catch (error) {
    const failure =
      error instanceof TmixError
        ? { kind: error.kind, message: error.message }
        : { kind: "model" as const, message: `the file could not be decoded: ${String(error).split("\n")[0]}` };
    send({ id, failure });
  }
}

self.addEventListener("message", ({ data }: MessageEvent<Request>) => {
  // One after the other: a file may take much memory.
  last = last.then(() => answer(data));
});
