// The bits of every latent position as colours.

import type { BitMap } from "../src/decode.js";

/** Pixels a side of a position. */
export const POSITION_SIDE = 16;
const RAMP = [
  [0, 0, 4],
  [81, 18, 124],
  [183, 55, 121],
  [252, 137, 97],
  [252, 253, 191],
] as const;
/** Of the positions, that are no brighter than the brightest colour. */
const SHARE_IN_RANGE = 0.995;

/** Draws the map over a picture of this size; returns the bits of a position that the brightest colour stands for. */
export function drawHeatMap(canvas: HTMLCanvasElement, map: BitMap, width: number, height: number): number {
  const rows = Math.ceil(height / POSITION_SIDE);
  const columns = Math.ceil(width / POSITION_SIDE);
  const inPicture: number[] = [];
  for (let row = 0; row < rows; row++) {
    inPicture.push(...map.bits.subarray(row * map.columns, row * map.columns + columns));
  }
  const sorted = Float32Array.from(inPicture).sort();
  const largest = Math.max(sorted[Math.floor(SHARE_IN_RANGE * (sorted.length - 1))]!, 1e-3);
  const small = new ImageData(columns, rows);
  inPicture.forEach((bits, index) => small.data.set([...colourOf(bits / largest), 255], 4 * index));
  const made = new OffscreenCanvas(columns, rows);
  made.getContext("2d")?.putImageData(small, 0, 0);
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  if (context !== null) {
    context.imageSmoothingEnabled = false;
    context.drawImage(made, 0, 0, columns * POSITION_SIDE, rows * POSITION_SIDE);
  }
  return largest;
}

function colourOf(share: number): number[] {
  const place = Math.min(Math.max(share, 0), 1) * (RAMP.length - 1);
  const lower = Math.min(Math.floor(place), RAMP.length - 2);
  return RAMP[lower]!.map((low, channel) => low + (place - lower) * (RAMP[lower + 1]![channel]! - low));
}
