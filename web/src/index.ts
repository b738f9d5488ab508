// What other pages import: import { decode, toRgba } from "./trimix.js".

export { decode } from "./client.js";
export type { ClientOptions } from "./client.js";
export type { Picture } from "./decode.js";
export { TmixError } from "./errors.js";
export type { FailureKind } from "./errors.js";
export { serveImages } from "./image_requests.js";
export { toPng, toRgba } from "./png.js";
export type { DecodedPicture } from "./worker.js";
