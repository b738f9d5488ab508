// A service worker, for whoever wants one. It lets a page from a static folder have threads, and lets <img> show .tmix.
//
//     <img src="photo.tmix"> --request--> this --> a page of the same origin decodes, src/image_requests.ts --> PNG
//
// Pages get the two headers that threads need; nothing is kept.

// The library of types for pages lacks these.
interface FetchEvent extends Event {
  readonly request: Request;
  readonly clientId: string;
  respondWith(response: Promise<Response>): void;
}

interface Scope {
  skipWaiting(): Promise<void>;
  readonly clients: {
    claim(): Promise<void>;
    get(id: string): Promise<{ postMessage(message: unknown, transfer: Transferable[]): void } | undefined>;
  };
  addEventListener(type: "install" | "activate", listener: (event: { waitUntil(done: Promise<void>): void }) => void): void;
  addEventListener(type: "fetch", listener: (event: FetchEvent) => void): void;
}

const scope = self as unknown as Scope;

scope.addEventListener("install", (event) => event.waitUntil(scope.skipWaiting()));
scope.addEventListener("activate", (event) => event.waitUntil(scope.clients.claim()));
scope.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET") return;
  const isOurs = new URL(request.url).origin === location.origin;
  const isPage = request.destination === "document" || request.destination === "worker";
  if (isOurs && (isPage || new URL(request.url).pathname.includes("/ort/"))) event.respondWith(isolated(request));
  else if (request.destination === "image" && new URL(request.url).pathname.endsWith(".tmix")) {
    event.respondWith(decoded(request, event.clientId));
  }
});

/** The same answer with the headers that shared memory asks for. */
async function isolated(request: Request): Promise<Response> {
  const response = await fetch(request);
  if (response.type === "opaqueredirect" || response.status === 0) return response;
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  headers.set("Cross-Origin-Resource-Policy", "same-origin");
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}

/** The picture of a file as PNG, which the page that asks for it makes. */
async function decoded(request: Request, clientId: string): Promise<Response> {
  const [response, client] = await Promise.all([fetch(request.url), scope.clients.get(clientId)]);
  if (!response.ok || client === undefined) return response;
  const data = await response.arrayBuffer();
  const { port1, port2 } = new MessageChannel();
  const picture = new Promise<Blob | null>((resolve) => {
    port1.onmessage = ({ data: made }: MessageEvent<Blob | null>) => resolve(made);
  });
  client.postMessage({ tmix: data }, [data, port2]);
  const blob = await picture;
  return blob === null ? Response.error() : new Response(blob, { headers: { "Content-Type": "image/png" } });
}
