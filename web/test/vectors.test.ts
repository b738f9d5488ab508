// Every golden vector of tools/make_web_vectors.py: symbols by their checksum, samples within 1 of Python's.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { inflateSync } from "node:zlib";

import type { Picture } from "../src/decode.js";
import { Decoder } from "../src/decode.js";
import { folderReader, nodeRuntime } from "./node_runtime.js";

const VECTORS = join(process.cwd(), "test", "vectors");
const files = join(VECTORS, "files");
const decoder = new Decoder(folderReader(join(VECTORS, "models")), nodeRuntime);

function read(name: string): Uint8Array {
  return new Uint8Array(readFileSync(join(files, name)));
}

/** Row by row, the channels of a pixel together, alpha last. */
function joined({ header, samples, alpha }: Picture): number[] {
  const channels = header.colourChannels;
  if (alpha === null) return [...samples];
  return [...alpha].flatMap((opacity, index) => [...samples.subarray(index * channels, (index + 1) * channels), opacity]);
}

function expected(name: string, bitDepth: number): number[] {
  const bytes = inflateSync(read(name));
  if (bitDepth === 8) return [...bytes];
  return Array.from({ length: bytes.length / 2 }, (_, index) => bytes.readUInt16LE(2 * index));
}

for (const name of readdirSync(files).filter((name) => name.endsWith(".tmix"))) {
  test(`${name} decodes to the symbols and within 1 to the samples of Python`, async () => {
    const picture = await decoder.decode(read(name));
    const { header } = picture;
    const [found, wanted] = [joined(picture), expected(name.replace(".tmix", ".samples"), header.bitDepth)];
    assert.equal(found.length, wanted.length);
    // What full transparency hides, readers may show as they like. Of 16 bits a step of floats is many levels.
    const tolerance = header.modelIdentifier === 0 ? 0 : header.bitDepth === 8 ? 1 : 8;
    const channels = found.length / (header.width * header.height);
    const isHidden = (index: number): boolean =>
      header.hasAlpha && index % channels !== channels - 1 && wanted[index - (index % channels) + channels - 1] === 0;
    const differences = found.map((value, index) => (isHidden(index) ? 0 : Math.abs(value - wanted[index]!)));
    assert.ok(Math.max(...differences) <= tolerance, `differs by ${Math.max(...differences)}`);
  });
}
