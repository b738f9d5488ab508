// Any bytes give a picture or a message of one line, and soon.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";

import { readContainer } from "../src/container.js";
import { Decoder } from "../src/decode.js";
import { TmixError } from "../src/errors.js";
import { GOLDEN, readBytes, signed } from "./files.js";
import { folderReader, nodeRuntime } from "./node_runtime.js";

const files = join(GOLDEN, "files");
const decoder = new Decoder(folderReader(join(GOLDEN, "models")), nodeRuntime);
const NAMES = ["interlaced-rgb-70x45", "grey-alpha-21x19-q40", "lossless-palette", "lossless-rgba16-31x27", "sliced-600x20-q60"];

async function failure(bytes: Uint8Array): Promise<TmixError> {
  try {
    await decoder.decode(bytes);
  } catch (error) {
    assert.ok(error instanceof TmixError, String(error));
    assert.ok(error.message.length > 0 && !error.message.includes("\n"), error.message);
    return error;
  }
  assert.fail("the file must be refused");
}

for (const name of NAMES) {
  test(`an altered byte of ${name} is refused, wherever it is`, async () => {
    const bytes = readBytes(files, `${name}.tmix`);
    for (let at = 0; at < bytes.length; at++) {
      const altered = new Uint8Array(bytes);
      altered[at]! ^= 1 << at % 8;
      await failure(altered);
    }
  });

  test(`${name} cut short is refused, wherever it is cut`, async () => {
    const bytes = readBytes(files, `${name}.tmix`);
    for (let length = 0; length < bytes.length; length++) {
      const { kind } = await failure(bytes.subarray(0, length));
      assert.ok(kind === "truncated" || (length < 4 && kind === "not-tmix"), kind);
    }
  });

  test(`altered sections of ${name} with the right CRC-32 are refused by what they hold, or show as much`, async () => {
    const bytes = readBytes(files, `${name}.tmix`);
    const { sections } = await readContainer(bytes);
    const lengths = sections.map((one) => one.bytes);
    const headerBytes = bytes.length - lengths.reduce((sum, length) => sum + length);
    let refused = 0;
    for (let at = headerBytes; at < bytes.length; at++) {
      const altered = new Uint8Array(bytes);
      altered[at]! ^= 1 << at % 8;
      try {
        await decoder.decode(signed(altered, headerBytes, lengths));
      } catch (error) {
        assert.ok(error instanceof TmixError, String(error));
        assert.ok(!error.message.includes("\n"));
        refused++;
      }
    }
    // An alpha plane has no checksum of what it decodes to.
    assert.ok(refused > 0);
  });
}

test("a file of another kind is told so", async () => {
  assert.equal((await failure(new TextEncoder().encode("GIF89a and more"))).kind, "not-tmix");
});

test("bytes after the end are refused", async () => {
  const bytes = readBytes(files, "rgb-1x1-q1.tmix");
  assert.equal((await failure(Uint8Array.from([...bytes, 0]))).kind, "corrupted");
});

test("a model that is not there is named by its hash", async () => {
  const elsewhere = new Decoder(async () => null, nodeRuntime);
  await assert.rejects(elsewhere.decode(readBytes(files, "rgb-1x1-q1.tmix")), /model with the hash [0-9a-f]{16}, found none/);
});

test("a picture that is too large is refused before it is decoded", async () => {
  const bytes = readBytes(files, "rgb-100x75-q50.tmix");
  await assert.rejects(decoder.decode(bytes, { maximumPixels: 100 * 74 }), /at most 7400 pixels, the file claims 100 x 75/);
});
