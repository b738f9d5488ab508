// Serves a folder with the headers that threads need: node serve.mjs [FOLDER] [PORT]

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { basename, extname, join, normalize } from "node:path";

const TYPES = {
  ".css": "text/css",
  ".html": "text/html",
  ".js": "text/javascript",
  ".json": "application/json",
  ".mjs": "text/javascript",
  ".svg": "image/svg+xml",
};
const ISOLATION = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

/** A server of some folders by the first part of their addresses, "" for the rest. */
export function serve(folders, { port = 0, isIsolated = true } = {}) {
  const server = createServer(async (request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://localhost").pathname));
    const [, first, ...rest] = path.split("/");
    const file = first && first in folders ? join(folders[first], ...rest) : join(folders[""], path);
    try {
      const found = await readFile(path.endsWith("/") ? join(file, "index.html") : file);
      const type = TYPES[extname(path.endsWith("/") ? "index.html" : path)] ?? "application/octet-stream";
      response.writeHead(200, { "Content-Type": type, "Content-Length": found.length, ...(isIsolated ? ISOLATION : {}) });
      response.end(found);
    } catch {
      response.writeHead(404, isIsolated ? ISOLATION : {});
      response.end();
    }
  });
  return new Promise((resolve) => {
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}

// Not where a test bundles this.
if (basename(process.argv[1]) === "serve.mjs") {
  const server = await serve({ "": process.argv[2] ?? "dist" }, { port: Number(process.argv[3] ?? 8000) });
  console.log(`http://127.0.0.1:${server.address().port}/`);
}
