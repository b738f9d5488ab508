// The decoder for a page: `decode` hands a file to the worker.

import { MAXIMUM_PIXELS } from "./container.js";
import { TmixError } from "./errors.js";
import type { Backend } from "./runtime.js";
import type { Answer, DecodedPicture, Request } from "./worker.js";

export interface ClientOptions {
  readonly maximumPixels?: number;
  readonly backend?: Backend;
  /** Of the synthesis, where the page is isolated; what the first picture asks for holds for all. */
  readonly threads?: number;
  readonly onProgress?: (share: number) => void;
}

interface Waiting {
  readonly resolve: (picture: DecodedPicture) => void;
  readonly reject: (error: Error) => void;
  readonly onProgress: (share: number) => void;
}

/** More are not worth their start. */
const MOST_THREADS = 8;

const waiting = new Map<number, Waiting>();
let worker: Worker | undefined;
let count = 0;

/** The picture of a file; rejects with a `TmixError`. */
export function decode(data: Uint8Array, options: ClientOptions = {}): Promise<DecodedPicture> {
  worker ??= startWorker();
  const id = ++count;
  const { maximumPixels = MAXIMUM_PIXELS, backend = "auto", onProgress = () => undefined } = options;
  const { threads = Math.min(MOST_THREADS, navigator.hardwareConcurrency) } = options;
  const request: Request = { id, data, maximumPixels, backend, threads };
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject, onProgress });
    worker?.postMessage(request);
  });
}

function startWorker(): Worker {
  const started = new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "trimix" });
  started.addEventListener("message", ({ data }: MessageEvent<Answer>) => {
    const one = waiting.get(data.id);
    if (one === undefined) return;
    if ("progress" in data) {
      one.onProgress(data.progress);
      return;
    }
    waiting.delete(data.id);
    if ("picture" in data) one.resolve(data.picture);
    else one.reject(new TmixError(data.failure.kind, data.failure.message));
  });
  started.addEventListener("error", () => {
    // A worker that could not start, or died: the next picture gets a new one.
    for (const one of waiting.values()) {
      one.reject(new TmixError("unreachable", "the decoder must run in a worker, found that it cannot: load the page again"));
    }
    waiting.clear();
    worker?.terminate();
    worker = undefined;
  });
  return started;
}
