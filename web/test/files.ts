import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { inflateSync } from "node:zlib";

import type { Header } from "../src/container.js";
import { crc32 } from "../src/crc32.js";

/** What tools/make_web_vectors.py writes: golden files of tiny models, and files of the default model. */
export const GOLDEN = join(process.cwd(), "test", "vectors");
export const OF_DEFAULT_MODEL = join(process.cwd(), "build", "files");

export function tmixFiles(folder: string): string[] {
  return readdirSync(folder).filter((name) => name.endsWith(".tmix"));
}

export function readBytes(...path: string[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(join(...path)));
}

/** What Python decodes of a file. */
export function expectedSamples(folder: string, name: string, bitDepth: number): number[] {
  const bytes = inflateSync(readBytes(folder, name.replace(".tmix", ".samples")));
  if (bitDepth === 8) return [...bytes];
  return Array.from({ length: bytes.length / 2 }, (_, index) => bytes.readUInt16LE(2 * index));
}

/**
 * The largest difference of samples, the channels of a pixel together, alpha last. What full transparency hides counts
 * nothing: readers may show it as they like.
 */
export function largestDifference(header: Header, found: readonly number[], wanted: readonly number[]): number {
  if (found.length !== wanted.length) return Infinity;
  const channels = found.length / (header.width * header.height);
  let largest = 0;
  for (const [index, value] of found.entries()) {
    const isHidden = header.hasAlpha && index % channels < channels - 1 && wanted[index - (index % channels) + channels - 1] === 0;
    if (!isHidden) largest = Math.max(largest, Math.abs(value - wanted[index]!));
  }
  return largest;
}

/** Of 16 bits, a step of a float is some levels; without a model nothing differs. */
export function tolerance({ modelIdentifier, bitDepth }: Header): number {
  if (modelIdentifier === 0) return 0;
  return bitDepth === 8 ? 1 : 16;
}

/** The same file with the right checksums, as an enemy would write it: only the symbols can tell then. */
export function signed(file: Uint8Array<ArrayBuffer>, headerBytes: number, sections: readonly number[]): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(file);
  const view = new DataView(copy.buffer);
  let at = headerBytes;
  let entry = headerBytes - 4;
  for (const length of [...sections].reverse()) entry -= 1 + varintBytes(length) + 4;
  for (const length of sections) {
    entry += 1 + varintBytes(length);
    view.setUint32(entry, crc32(copy.subarray(at, at + length)), true);
    entry += 4;
    at += length;
  }
  view.setUint32(headerBytes - 4, crc32(copy.subarray(0, headerBytes - 4)), true);
  return copy;
}

function varintBytes(value: number): number {
  return value < 128 ? 1 : 1 + varintBytes(Math.floor(value / 128));
}
