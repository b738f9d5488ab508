// A decoded picture for others: as RGBA of 8 bits, and as a PNG file with its colours described.

import { crc32 } from "./crc32.js";
import { copyOf, readChunks } from "./container.js";
import type { Picture } from "./decode.js";
import type { Samples } from "./synthesis.js";

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const PAETH = 4;

/** Colours as they are, alpha straight, 8 bits each. */
export function toRgba(picture: Picture): Uint8ClampedArray<ArrayBuffer> {
  const { header, samples, alpha } = picture;
  const shift = header.bitDepth === 16 ? 257 : 1;
  const of = (values: Samples, index: number): number => Math.round(values[index]! / shift);
  const channels = header.colourChannels;
  const count = header.width * header.height;
  const rgba = new Uint8ClampedArray(4 * count);
  for (let index = 0; index < count; index++) {
    const from = index * channels;
    rgba[4 * index] = of(samples, from);
    rgba[4 * index + 1] = of(samples, from + (channels === 3 ? 1 : 0));
    rgba[4 * index + 2] = of(samples, from + (channels === 3 ? 2 : 0));
    rgba[4 * index + 3] = alpha === null ? 255 : of(alpha, index);
  }
  return rgba;
}

/** Whether the colours are others than sRGB, so that a browser must convert them. */
export function hasOwnColours(picture: Picture): boolean {
  return picture.iccProfile.length > 0 || readChunks(picture.chunks).some(({ type }) => /^(cICP|gAMA|cHRM)$/.test(type));
}

/** A PNG file with all samples, the profile and the chunks. */
export async function toPng(picture: Picture): Promise<Blob> {
  const { header, samples, alpha } = picture;
  const { width, height, colourChannels, bitDepth } = header;
  const channels = colourChannels + (alpha === null ? 0 : 1);
  const facts = new DataView(new ArrayBuffer(13));
  facts.setUint32(0, width);
  facts.setUint32(4, height);
  facts.setUint8(8, bitDepth);
  facts.setUint8(9, (colourChannels === 3 ? 2 : 0) + (alpha === null ? 0 : 4));
  const parts = [Uint8Array.from(SIGNATURE), ...chunk("IHDR", new Uint8Array(facts.buffer))];
  if (picture.iccProfile.length > 0) {
    const named = [...new TextEncoder().encode("profile"), 0, 0];
    parts.push(...chunk("iCCP", Uint8Array.from([...named, ...(await deflate(picture.iccProfile))])));
  }
  for (const { type, contents } of readChunks(picture.chunks)) parts.push(...chunk(type, contents));
  const pixelBytes = (channels * bitDepth) / 8;
  const bytes = new Uint8Array(width * height * pixelBytes);
  let to = 0;
  const put = (value: number): void => {
    if (bitDepth === 16) bytes[to++] = value >> 8;
    bytes[to++] = value;
  };
  for (let index = 0; index < width * height; index++) {
    for (let channel = 0; channel < colourChannels; channel++) put(samples[index * colourChannels + channel]!);
    if (alpha !== null) put(alpha[index]!);
  }
  parts.push(...chunk("IDAT", await deflate(filtered(bytes, height, width * pixelBytes, pixelBytes))));
  parts.push(...chunk("IEND", new Uint8Array()));
  return new Blob(parts, { type: "image/png" });
}

function chunk(type: string, contents: Uint8Array): Uint8Array<ArrayBuffer>[] {
  const named = new Uint8Array(4 + contents.length);
  named.set(new TextEncoder().encode(type));
  named.set(contents, 4);
  return [big(contents.length), named, big(crc32(named))];
}

function big(value: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
}

async function deflate(bytes: Uint8Array): Promise<Uint8Array> {
  const packed = new Blob([copyOf(bytes)]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(packed).arrayBuffer());
}

/** Every row as its differences from what its neighbours let expect. */
function filtered(bytes: Uint8Array, height: number, rowBytes: number, step: number): Uint8Array {
  const rows = new Uint8Array(height * (1 + rowBytes));
  for (let row = 0, to = 0; row < height; row++) {
    rows[to++] = PAETH;
    for (let index = 0, at = row * rowBytes; index < rowBytes; index++, at++) {
      const left = index >= step ? bytes[at - step]! : 0;
      const above = row > 0 ? bytes[at - rowBytes]! : 0;
      const corner = index >= step && row > 0 ? bytes[at - rowBytes - step]! : 0;
      const [a, b, c] = [Math.abs(above - corner), Math.abs(left - corner), Math.abs(left + above - 2 * corner)];
      rows[to++] = bytes[at]! - (a <= b && a <= c ? left : b <= c ? above : corner);
    }
  }
  return rows;
}
