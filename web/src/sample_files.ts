// Picture files inside a file: alpha planes, and pictures without a model. docs/format.md, "Alpha", "Without a model".

import type { Header } from "./container.js";
import { inflate } from "./container.js";
import { corrupted } from "./errors.js";
import { FieldReader } from "./fields.js";
import type { Samples } from "./synthesis.js";
import { readLosslessWebp } from "./vp8l.js";

const PNG_SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/** Samples [height width channels] of a WebP file, or of a PNG file with the channels below one another. */
export async function readSamples(file: Uint8Array, header: Header, channels: 1 | 3, name: string): Promise<Samples> {
  const { width, height, bitDepth } = header;
  if (PNG_SIGNATURE.every((byte, index) => file[index] === byte)) {
    return interleaved(await readGreyPng(file, width, height * channels, bitDepth, name), channels);
  }
  const isWebp = String.fromCharCode(...file.subarray(0, 4), ...file.subarray(8, 12)) === "RIFFWEBP";
  if (!isWebp || bitDepth !== 8) throw corrupted(`section ${name} must be a lossless WebP or a grey PNG file, found another`);
  const pixels = readLosslessWebp(file, width, height);
  const samples = new Uint8Array(pixels.length * channels);
  for (let index = 0; index < pixels.length; index++) {
    for (let channel = 0; channel < channels; channel++) {
      samples[index * channels + channel] = pixels[index]! >>> (16 - 8 * channel);
    }
  }
  return samples;
}

function interleaved(planes: Samples, channels: number): Samples {
  if (channels === 1) return planes;
  const count = planes.length / channels;
  const samples = planes instanceof Uint8Array ? new Uint8Array(planes.length) : new Uint16Array(planes.length);
  for (let channel = 0; channel < channels; channel++) {
    for (let index = 0; index < count; index++) samples[index * channels + channel] = planes[channel * count + index]!;
  }
  return samples;
}

async function readGreyPng(file: Uint8Array, width: number, height: number, bitDepth: number, name: string): Promise<Samples> {
  const reader = new FieldReader(file);
  reader.raw(PNG_SIGNATURE.length, name);
  const big = (bytes: Uint8Array, at: number): number => new DataView(bytes.buffer, bytes.byteOffset).getUint32(at);
  const parts: Uint8Array[] = [];
  let isRight = false;
  for (let type = ""; type !== "IEND"; ) {
    const length = big(reader.raw(4, name), 0);
    type = String.fromCharCode(...reader.raw(4, name));
    const contents = reader.raw(length, name);
    reader.raw(4, name);
    if (type === "IHDR" && length === 13) {
      // Depth, colour type grey, deflate, the five filters, not interlaced.
      const wanted = [bitDepth, 0, 0, 0, 0];
      isRight =
        big(contents, 0) === width && big(contents, 4) === height && wanted.every((value, index) => contents[8 + index] === value);
    } else if (type === "IDAT") {
      parts.push(contents);
    }
  }
  if (!isRight) throw corrupted(`section ${name} must be ${width} x ${height} grey samples of ${bitDepth} bits, found others`);
  const rowBytes = (width * bitDepth) / 8;
  const deflated = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let filled = 0;
  for (const part of parts) {
    deflated.set(part, filled);
    filled += part.length;
  }
  const filtered = await inflate(deflated, height * (1 + rowBytes), name);
  const bytes = unfiltered(filtered, height, rowBytes, bitDepth / 8, name);
  if (bitDepth === 8) return bytes;
  return Uint16Array.from({ length: width * height }, (_, index) => bytes[2 * index]! * 256 + bytes[2 * index + 1]!);
}

function unfiltered(filtered: Uint8Array, height: number, rowBytes: number, step: number, name: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(height * rowBytes);
  for (let row = 0; row < height; row++) {
    const filter = filtered[row * (1 + rowBytes)]!;
    if (filter > 4) throw corrupted(`section ${name} must have PNG's filters 0 to 4, found ${filter}`);
    for (let index = 0; index < rowBytes; index++) {
      const at = row * rowBytes + index;
      const left = index >= step ? bytes[at - step]! : 0;
      const above = row > 0 ? bytes[at - rowBytes]! : 0;
      const corner = index >= step && row > 0 ? bytes[at - rowBytes - step]! : 0;
      bytes[at] = filtered[row * (1 + rowBytes) + 1 + index]! + guess(filter, left, above, corner);
    }
  }
  return bytes;
}

function guess(filter: number, left: number, above: number, corner: number): number {
  switch (filter) {
    case 1:
      return left;
    case 2:
      return above;
    case 3:
      return (left + above) >> 1;
    case 4: {
      const [a, b, c] = [Math.abs(above - corner), Math.abs(left - corner), Math.abs(left + above - 2 * corner)];
      return a <= b && a <= c ? left : b <= c ? above : corner;
    }
    default:
      return 0;
  }
}
