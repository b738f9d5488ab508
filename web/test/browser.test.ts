// The built page in headless Chromium: CHROMIUM names its program, or it is looked for on the path.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import type { Browser, Page } from "playwright-core";
import { chromium } from "playwright-core";

import { serve } from "../serve.mjs";
import type { Header } from "../src/container.js";
import { GOLDEN, OF_DEFAULT_MODEL, readBytes, tmixFiles, tolerance } from "./files.js";

const DIST = join(process.cwd(), "dist");
const PAGE_BYTES_MAXIMUM = 12e6;
const PATIENCE_MILLISECONDS = 120_000;
const WARM_RUNS = 4;

interface Found {
  readonly header: Header;
  /** From the samples of Python, of what is not hidden by full transparency. */
  readonly largestDifference: number;
}

let browser: Browser;
const servers: Server[] = [];

function program(): string {
  if (process.env["CHROMIUM"]) return process.env["CHROMIUM"];
  for (const name of ["chromium", "chromium-browser", "google-chrome"]) {
    try {
      return execFileSync("which", [name], { encoding: "utf8" }).trim();
    } catch {
      continue;
    }
  }
  throw new Error("Chromium must be on the path, found none: set CHROMIUM to its program");
}

async function address(folders: Readonly<Record<string, string>>, isIsolated = true): Promise<string> {
  const server = await serve(folders, { isIsolated });
  servers.push(server);
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

async function open(url: string): Promise<Page> {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  page.setDefaultTimeout(PATIENCE_MILLISECONDS);
  await page.goto(url);
  return page;
}

/** Decodes a file that the page's server has, and compares it with what lies beside it. */
async function compared(page: Page, path: string): Promise<Found> {
  return page.evaluate(async (given) => {
    const module = "./trimix.js";
    const { decode } = (await import(module)) as typeof import("../src/index.js");
    const { header, samples, alpha } = await decode(new Uint8Array(await (await fetch(given)).arrayBuffer()));
    const packed = (await fetch(given.replace(".tmix", ".samples"))).body!;
    const bytes = await new Response(packed.pipeThrough(new DecompressionStream("deflate"))).arrayBuffer();
    const wanted = header.bitDepth === 8 ? new Uint8Array(bytes) : new Uint16Array(bytes);
    const colours = header.colourChannels;
    const channels = colours + (alpha === null ? 0 : 1);
    let largestDifference = wanted.length === (samples.length / colours) * channels ? 0 : Infinity;
    for (let pixel = 0; pixel < samples.length / colours; pixel++) {
      const opacity = alpha?.[pixel] ?? 0;
      if (alpha !== null) largestDifference = Math.max(largestDifference, Math.abs(opacity - wanted[pixel * channels + colours]!));
      if (alpha !== null && opacity === 0) continue;
      for (let channel = 0; channel < colours; channel++) {
        const difference = Math.abs(samples[pixel * colours + channel]! - wanted[pixel * channels + channel]!);
        largestDifference = Math.max(largestDifference, difference);
      }
    }
    return { header, largestDifference };
  }, path);
}

before(async () => {
  browser = await chromium.launch({ executablePath: program(), args: ["--no-sandbox"] });
});

after(async () => {
  await browser.close();
  for (const server of servers) server.close();
});

test("files of the default model decode to the symbols of Python and to its samples within 1", async () => {
  const page = await open(await address({ "": DIST, files: OF_DEFAULT_MODEL }));
  const names = tmixFiles(OF_DEFAULT_MODEL);
  assert.ok(names.length >= 12, `found ${names.length} files`);
  for (const name of names) {
    const { header, largestDifference: found } = await compared(page, `files/${name}`);
    console.log(`${name}: largest difference ${found} of ${2 ** header.bitDepth - 1}`);
    assert.ok(found <= tolerance(header), `${name} differs by ${found}`);
  }
});

test("golden files decode to the symbols of Python and to its samples within 1", async () => {
  const files = join(GOLDEN, "files");
  const page = await open(await address({ "": DIST, files, models: join(GOLDEN, "models") }));
  for (const name of tmixFiles(files)) {
    const { header, largestDifference: found } = await compared(page, `files/${name}`);
    assert.ok(found <= tolerance(header), `${name} differs by ${found}`);
  }
});

test("two threads find the samples of Python within 1", async () => {
  const page = await open(await address({ "": DIST, files: OF_DEFAULT_MODEL }));
  const [runtime, isEqual] = await page.evaluate(async () => {
    const module = "./trimix.js";
    const { decode } = (await import(module)) as typeof import("../src/index.js");
    const file = new Uint8Array(await (await fetch("files/grey-211x150.tmix")).arrayBuffer());
    const wanted = new Uint8Array(
      await new Response(
        (await fetch("files/grey-211x150.samples")).body!.pipeThrough(new DecompressionStream("deflate")),
      ).arrayBuffer(),
    );
    const { samples, runtime } = await decode(file, { backend: "wasm", threads: 2 });
    return [runtime, samples.length === wanted.length && samples.every((one, at) => Math.abs(one - wanted[at]!) <= 1)];
  });
  assert.equal(runtime, "WebAssembly, 2 threads");
  assert.equal(isEqual, true);
});

test("a decoded photograph takes this long, and the page this much", async () => {
  const url = await address({ "": DIST, files: OF_DEFAULT_MODEL });
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE_MILLISECONDS);
  let bytes = 0;
  page.on("response", (response) => {
    bytes += Number(response.headers()["content-length"] ?? 0);
  });
  await page.goto(url);
  await page.waitForFunction(() => performance.getEntriesByType("paint").length > 0);
  const paint = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0);
  const photograph = tmixFiles(OF_DEFAULT_MODEL).find((name) => /^(kodim|drawn)/.test(name))!;
  const system = await browser.newBrowserCDPSession();
  const processorSeconds = async (): Promise<number> => {
    const { processInfo } = await system.send("SystemInfo.getProcessInfo");
    return processInfo.reduce((sum, one) => sum + one.cpuTime, 0);
  };
  // Once cold: the model is fetched, and its loops are compiled while they run.
  await compared(page, `files/${photograph}`);
  const before = await processorSeconds();
  const { header, runs, runtime } = await page.evaluate(
    async ([given, times]) => {
      const module = "./trimix.js";
      const { decode } = (await import(module)) as typeof import("../src/index.js");
      const file = new Uint8Array(await (await fetch(given)).arrayBuffer());
      const runs: number[] = [];
      for (;;) {
        const start = performance.now();
        const { header, runtime } = await decode(file);
        runs.push(performance.now() - start);
        if (runs.length === times) return { header, runs, runtime };
      }
    },
    [`files/${photograph}`, WARM_RUNS] as const,
  );
  const processor = ((await processorSeconds()) - before) / WARM_RUNS;
  for (const name of [photograph, photograph, photograph.replace(".tmix", ".samples")]) {
    bytes -= readBytes(OF_DEFAULT_MODEL, name).length;
  }
  console.log(`first contentful paint: ${paint.toFixed(0)} ms`);
  console.log(`page with the model: ${bytes} bytes`);
  console.log(
    `${photograph}, ${header.width} x ${header.height}, warm: ${runs.map((one) => one.toFixed(0)).join(", ")} ms, ` +
      `${processor.toFixed(2)} s of processor time each, ${runtime}`,
  );
  assert.ok(bytes > 0 && bytes <= PAGE_BYTES_MAXIMUM, `${bytes} bytes`);
});

test("the page shows a file, compares it with its original, and draws the map of bits", async () => {
  const page = await open(await address({ "": DIST }));
  const [first] = tmixFiles(OF_DEFAULT_MODEL).filter((name) => name.startsWith("alpha"));
  await page.setInputFiles("#files", join(OF_DEFAULT_MODEL, first!));
  await page.waitForSelector("#view:not([hidden])");
  assert.match((await page.textContent("#facts")) ?? "", /Bits per pixel[0-9.]+.*checksum [0-9a-f]{8}, as in the file/);
  assert.equal(await page.getAttribute("#decoded", "aria-label"), `The picture of ${first}`);
  // The page's own PNG stands for the original: WebP of the same size is made of it; JPEG has no alpha.
  const [saved] = await Promise.all([page.waitForEvent("download"), page.click("#save")]);
  await page.click("#mode-compare");
  const original = join(mkdtempSync(join(tmpdir(), "trimix-web-")), "original.png");
  await saved.saveAs(original);
  await page.setInputFiles("#files", original);
  await page.waitForSelector("#contenders button >> text=WebP");
  await page.waitForSelector("#slider:not([hidden])");
  await page.focus("#slider");
  const place = Number(await page.inputValue("#slider"));
  await page.keyboard.press("ArrowRight");
  assert.ok(Number(await page.inputValue("#slider")) > place);
  // PNG is exact: the file's row says that both are equal, but for what alpha hides.
  assert.match((await page.textContent("#sizes")) ?? "", /\.tmix.*WebP.*Original/);
  await page.click("#mode-bits");
  assert.ok(await page.isVisible("#legend"));
  await page.hover("#bits", { position: { x: 5, y: 5 } });
  assert.match((await page.textContent("#reading")) ?? "", /^here [0-9.]+, [0-9]+ bits$/);
  await page.click("#again");
  assert.ok(await page.isVisible("#start"));
});

test("a damaged file gives a message of one line, and the page goes on", async () => {
  const page = await open(await address({ "": DIST, files: OF_DEFAULT_MODEL }));
  const folder = mkdtempSync(join(tmpdir(), "trimix-web-"));
  const bytes = readBytes(OF_DEFAULT_MODEL, "one-1x1.tmix");
  const damaged = new Uint8Array(bytes);
  damaged[damaged.length - 1]! ^= 1;
  for (const [name, contents, message] of [
    ["altered.tmix", damaged, /CRC-32/],
    ["short.tmix", bytes.subarray(0, 40), /cut short/],
    ["text.txt", new TextEncoder().encode("no picture"), /must begin with d4 54 4d 58/],
  ] as const) {
    writeFileSync(join(folder, name), contents);
    await page.setInputFiles("#files", join(folder, name));
    await page.waitForSelector("#status.bad");
    const said = (await page.textContent("#status")) ?? "";
    assert.match(said, message);
    assert.ok(!said.includes("\n"));
  }
  await page.goto(`${page.url()}?src=files/no-such-file.tmix`);
  await page.waitForSelector("#status.bad");
  assert.match((await page.textContent("#status")) ?? "", /found no such file/);
  await page.fill("#address", new URL("files/one-1x1.tmix", page.url()).href);
  await page.click("#address-form button");
  await page.waitForSelector("#view:not([hidden])");
});

test("<tmix-image> shows a picture with its alt text, and its alt text where there is none", async () => {
  const url = await address({ "": DIST, files: OF_DEFAULT_MODEL });
  const page = await open(`${url}icon.svg`);
  await page.goto(url);
  const shown = await page.evaluate(async () => {
    const module = "./tmix-image.js";
    await import(module);
    const made = (source: string): Promise<string> =>
      new Promise((resolve) => {
        const image = document.createElement("tmix-image");
        const inside = (): string => image.shadowRoot!.innerHTML.replace(/<style>.*<\/style>/s, "");
        image.addEventListener("load", () => resolve(inside()));
        image.addEventListener("error", () => resolve(inside()));
        image.setAttribute("alt", "A drawn picture");
        image.setAttribute("src", source);
        document.body.append(image);
      });
    return [await made("files/odd-63x129.tmix"), await made("files/missing.tmix")];
  });
  assert.match(shown[0]!, /<canvas width="63" height="129" role="img" aria-label="A drawn picture">/);
  assert.match(shown[1]!, /<p>A drawn picture: .*found no such file/);
});

test("the service worker lets <img> show a file, and gives threads to a page of a plain server", async () => {
  const page = await open(await address({ "": DIST, files: OF_DEFAULT_MODEL }, false));
  await page.evaluate(() => navigator.serviceWorker.ready);
  await page.reload();
  assert.equal(await page.evaluate(() => self.crossOriginIsolated), true);
  const size = await page.evaluate(async () => {
    const image = new Image();
    image.src = "files/odd-63x129.tmix";
    await image.decode();
    return [image.naturalWidth, image.naturalHeight];
  });
  assert.deepEqual(size, [63, 129]);
});
