// Decodes what the service worker is asked for by <img>; a page that wants this imports the module.

import { decode } from "./client.js";
import { toPng } from "./png.js";

interface ImageRequest {
  readonly tmix: ArrayBuffer;
}

/** Registers the service worker, which must lie beside this module, and answers it. */
export async function serveImages(): Promise<void> {
  navigator.serviceWorker.addEventListener("message", ({ data, ports }: MessageEvent<ImageRequest>) => {
    decode(new Uint8Array(data.tmix))
      .then(toPng)
      .catch((error: unknown) => {
        console.error(error);
        return null;
      })
      .then((made) => ports[0]?.postMessage(made));
  });
  navigator.serviceWorker.startMessages();
  await navigator.serviceWorker.register(new URL("./service-worker.js", import.meta.url), { type: "module" });
}
