// Every golden file: symbols by their checksum, samples within 1 of Python's.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";

import type { Picture } from "../src/decode.js";
import { Decoder } from "../src/decode.js";
import { GOLDEN, expectedSamples, largestDifference, readBytes, tmixFiles, tolerance } from "./files.js";
import { folderReader, nodeRuntime } from "./node_runtime.js";

const files = join(GOLDEN, "files");
const decoder = new Decoder(folderReader(join(GOLDEN, "models")), nodeRuntime);

function joined({ header, samples, alpha }: Picture): number[] {
  const channels = header.colourChannels;
  if (alpha === null) return [...samples];
  return [...alpha].flatMap((opacity, index) => [...samples.subarray(index * channels, (index + 1) * channels), opacity]);
}

for (const name of tmixFiles(files)) {
  test(`${name} decodes to the symbols of Python and to its samples within 1`, async () => {
    const picture = await decoder.decode(readBytes(files, name));
    const wanted = expectedSamples(files, name, picture.header.bitDepth);
    // Symbols with another checksum are refused.
    const found = largestDifference(picture.header, joined(picture), wanted);
    assert.ok(found <= tolerance(picture.header), `differs by ${found}`);
  });
}

test("the map of bits adds up to the bytes of the latents", async () => {
  const { bitMap, sections } = await decoder.decode(readBytes(files, "interlaced-rgb-70x45.tmix"));
  const bits = bitMap!.bits.reduce((sum, one) => sum + one);
  const latent = sections.find(({ name }) => name === "latent")!;
  assert.ok(Math.abs(bits / 8 - latent.bytes) < 3, `${bits / 8} and ${latent.bytes} bytes`);
});
