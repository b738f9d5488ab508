// The page: a file is opened, shown, compared and looked into.

import { decode } from "../src/client.js";
import { TmixError } from "../src/errors.js";
import { serveImages } from "../src/image_requests.js";
import { toPng } from "../src/png.js";
import type { Backend } from "../src/runtime.js";
import { fetchBytes } from "../src/runtime.js";
import { showOn } from "../src/show.js";
import type { DecodedPicture } from "../src/worker.js";
import type { Contender } from "./compare.js";
import { distances, encodedToSize, pixelsOf } from "./compare.js";
import { POSITION_SIDE, drawHeatMap } from "./heat_map.js";

type Mode = "picture" | "compare" | "bits";

interface Example {
  readonly file: string;
  readonly original: string;
  readonly others: readonly string[];
  readonly alt: string;
}

interface Opened {
  readonly name: string;
  readonly picture: DecodedPicture;
  /** The file itself; null until it is compared. */
  own: Contender | null;
  original: Contender | null;
  /** By name. */
  readonly contenders: Map<string, Contender>;
}

const MAGIC = [0xd4, 0x54, 0x4d, 0x58];
const numbers = new Intl.NumberFormat("en");
const query = new URLSearchParams(location.search);

function element<Kind extends Element>(id: string, kind: new () => Kind): Kind {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page must have a ${kind.name} #${id}, found none`);
  return found;
}

const status = element("status", HTMLDivElement);
const progress = element("progress", HTMLProgressElement);
const start = element("start", HTMLElement);
const view = element("view", HTMLElement);
const again = element("again", HTMLButtonElement);
const files = element("files", HTMLInputElement);
const address = element("address", HTMLInputElement);
const stage = element("stage", HTMLDivElement);
const layers = element("layers", HTMLDivElement);
const canvas = element("decoded", HTMLCanvasElement);
const other = element("other", HTMLCanvasElement);
const bits = element("bits", HTMLCanvasElement);
const slider = element("slider", HTMLInputElement);
const contenders = element("contenders", HTMLDivElement);
const modes = new Map<Mode, HTMLButtonElement>(
  (["picture", "compare", "bits"] as const).map((mode) => [mode, element(`mode-${mode}`, HTMLButtonElement)]),
);

let opened: Opened | null = null;
let shown: Contender | null = null;
let bitsOfBrightest = 0;
/** Of the work in hand; what comes of earlier work is dropped. */
let turn = 0;

function say(message: string, isBad = false): void {
  status.textContent = message;
  status.classList.toggle("bad", isBad);
}

function sayError(error: unknown): void {
  if (!(error instanceof TmixError)) console.error(error);
  say(error instanceof Error ? error.message : String(error), true);
}

function isTmix(bytes: Uint8Array): boolean {
  return MAGIC.every((byte, index) => bytes[index] === byte);
}

async function openBytes(bytes: Uint8Array, name: string, alt = ""): Promise<void> {
  const own = ++turn;
  say(`Decoding ${name}`);
  progress.value = 0;
  progress.hidden = false;
  try {
    const backend = (query.get("backend") ?? "auto") as Backend;
    const onProgress = (share: number): void => {
      if (own === turn) progress.value = share;
    };
    const picture = await decode(bytes, { onProgress, backend });
    if (own !== turn) return;
    await showOn(canvas, picture);
    const { width, height } = picture.header;
    opened = { name, picture, own: null, original: null, contenders: new Map() };
    layers.classList.toggle("transparent", picture.header.hasAlpha);
    canvas.setAttribute("aria-label", alt === "" ? `The picture of ${name}` : alt);
    if (picture.bitMap !== null) bitsOfBrightest = drawHeatMap(bits, picture.bitMap, width, height);
    start.hidden = true;
    again.hidden = false;
    view.hidden = false;
    say("");
    fillFacts(opened);
    refreshContenders(opened);
    show("picture");
  } catch (error) {
    if (own === turn) sayError(error);
  } finally {
    if (own === turn) progress.hidden = true;
  }
}

async function openFiles(list: Iterable<File>): Promise<void> {
  const read = await Promise.all([...list].map(async (file) => ({ file, head: new Uint8Array(await file.slice(0, 4).arrayBuffer()) })));
  const [first] = read.filter(({ head }) => isTmix(head));
  const pictures = read.filter(({ head }) => !isTmix(head)).map(({ file }) => file);
  if (first !== undefined) await openBytes(new Uint8Array(await first.file.arrayBuffer()), first.file.name);
  else if (opened === null) {
    const [only] = pictures;
    // What is no .tmix file at all is refused by the decoder, in its words.
    if (only !== undefined) await openBytes(new Uint8Array(await only.arrayBuffer()), only.name);
    return;
  }
  if (opened === null) return;
  // The largest is the original, unless there is one.
  for (const picture of pictures.sort((a, b) => b.size - a.size)) await addPicture(opened, picture, picture.name);
}

async function openAddress(given: string): Promise<void> {
  try {
    const source = new URL(given, document.baseURI);
    say(`Fetching ${source.href}`);
    const bytes = await fetchBytes(source.href);
    if (bytes === null) throw new TmixError("unreachable", `${source.href} must be there, found no such file: check the address`);
    await openBytes(bytes, decodeURIComponent(source.pathname.split("/").at(-1) ?? "the file"));
  } catch (error) {
    sayError(error);
  }
}

async function openExample(example: Example): Promise<void> {
  const [bytes, original, ...others] = await Promise.all(
    [example.file, example.original, ...example.others].map((name) => fetchBytes(new URL(`example/${name}`, document.baseURI).href)),
  );
  if (!bytes || !original) throw new TmixError("unreachable", "the example must be there, found none: build the page again");
  await openBytes(bytes, example.file, example.alt);
  if (opened === null) return;
  await addPicture(opened, new Blob([original]), example.original);
  for (const [index, one] of others.entries()) {
    const name = example.others[index]!;
    if (one) await addPicture(opened, new Blob([one], { type: `image/${name.split(".").at(-1)}` }), name);
  }
}

/** Takes a picture as the original, or as another contender. */
async function addPicture(to: Opened, file: Blob, name: string): Promise<void> {
  const { width, height } = to.picture.header;
  try {
    const pixels = await pixelsOf(file).catch(() => {
      throw new TmixError("not-tmix", `${name} must be a picture that this browser opens, found another file: choose a PNG, JPEG, WebP or AVIF`);
    });
    if (pixels.width !== width || pixels.height !== height) {
      throw new TmixError("not-tmix", `${name} must have ${width} x ${height} pixels, found ${pixels.width} x ${pixels.height}: choose another`);
    }
    if (to !== opened) return;
    if (to.original === null && file.size > 2 * to.picture.fileBytes) {
      to.original = { name: "Original", bytes: file.size, note: name, pixels };
      to.contenders.set("Original", to.original);
      say("Making a JPEG and a WebP of the same size");
      const hasAlpha = to.picture.header.hasAlpha;
      for (const [format, type] of [["JPEG", "image/jpeg"], ["WebP", "image/webp"]] as const) {
        if (hasAlpha && format === "JPEG") continue; // which has no alpha
        const made = await encodedToSize(pixels, format, type, to.picture.fileBytes);
        if (made !== null) to.contenders.set(format, made);
      }
      say("");
    } else {
      const label = (name.split(".").at(-1) ?? name).toUpperCase();
      to.contenders.set(label, { name: label, bytes: file.size, note: name, pixels });
    }
    if (to !== opened) return;
    refreshContenders(to);
    choose(to, shown !== null && to.contenders.has(shown.name) ? shown.name : [...to.contenders.keys()].find((one) => one !== "Original") ?? "Original");
    show("compare");
  } catch (error) {
    sayError(error);
  }
}

/** The file among the contenders, as the canvas shows it. */
function ownOf({ picture }: Opened): Contender {
  const { width, height } = picture.header;
  const pixels = canvas.getContext("2d")!.getImageData(0, 0, width, height);
  const note = picture.modelName === null ? "without loss" : `quality ${qualityOf(picture)} of 100`;
  return { name: ".tmix", bytes: picture.fileBytes, note, pixels };
}

function refreshContenders(of: Opened): void {
  const { contenders: known, original } = of;
  contenders.replaceChildren(
    ...[...known.keys()].map((name) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = name;
      button.addEventListener("click", () => {
        if (opened !== null) choose(opened, name);
      });
      return button;
    }),
  );
  const table = element("sizes", HTMLTableElement);
  table.hidden = known.size === 0;
  if (known.size === 0) return;
  of.own ??= ownOf(of);
  const rows = [of.own, ...[...known.values()].filter((one) => one !== original), ...(original === null ? [] : [original])];
  table.tBodies[0]!.replaceChildren(
    ...rows.map((one) => {
      const row = document.createElement("tr");
      const head = document.createElement("th");
      head.scope = "row";
      const note = document.createElement("small");
      note.textContent = one.note;
      head.append(one.name, note);
      row.append(head);
      const far = original === null || one === original ? null : distances(original.pixels, one.pixels);
      for (const text of [
        numbers.format(one.bytes),
        far === null ? "–" : Number.isFinite(far.psnrDb) ? far.psnrDb.toFixed(2) : "equal",
        far === null ? "–" : far.ssim.toFixed(4),
      ]) {
        row.insertCell().textContent = text;
      }
      return row;
    }),
  );
}

function choose(of: Opened, name: string): void {
  shown = of.contenders.get(name) ?? null;
  if (shown === null) return;
  [other.width, other.height] = [shown.pixels.width, shown.pixels.height];
  other.getContext("2d")?.putImageData(shown.pixels, 0, 0);
  for (const button of contenders.querySelectorAll("button")) button.ariaPressed = String(button.textContent === name);
  element("label-left", HTMLSpanElement).textContent = `.tmix, ${kilobytes(of.picture.fileBytes)}`;
  element("label-right", HTMLSpanElement).textContent = `${shown.name}, ${kilobytes(shown.bytes)}`;
}

function show(mode: Mode): void {
  if (opened === null) return;
  for (const [one, button] of modes) button.ariaPressed = String(one === mode);
  const isComparing = mode === "compare" && opened.contenders.size > 0;
  for (const part of [other, slider, contenders, ...["handle", "label-left", "label-right"].map((id) => element(id, HTMLSpanElement))]) {
    part.toggleAttribute("hidden", !isComparing);
  }
  layers.classList.toggle("comparing", isComparing);
  element("offer", HTMLDivElement).hidden = mode !== "compare";
  bits.hidden = mode !== "bits" || opened.picture.bitMap === null;
  element("legend", HTMLDivElement).hidden = bits.hidden;
  element("reading", HTMLOutputElement).value = "";
  const perPixel = (opened.picture.fileBytes * 8) / (opened.picture.header.width * opened.picture.header.height);
  element("caption", HTMLParagraphElement).textContent = {
    picture: "",
    compare: isComparing
      ? "Drag, or use the arrow keys. The browser's encoders are quick; slower ones make better files of the same size. The default model is trained for SSIMULACRA2, which this page does not measure."
      : "",
    bits: bits.hidden
      ? "This file has no model: it holds the samples themselves, so there is no map."
      : `Where the bits went: each square of 16 x 16 pixels, as the decoder counted them. The whole file takes ${perPixel.toFixed(3)} bits per pixel.`,
  }[mode];
}

function qualityOf({ header }: DecodedPicture): string {
  return String(Math.round((header.quality / 512) * 10) / 10);
}

function kilobytes(bytes: number): string {
  return bytes < 10_000 ? `${numbers.format(bytes)} bytes` : `${(bytes / 1000).toFixed(1)} kB`;
}

function fillFacts({ name, picture }: Opened): void {
  const { header, durations, sections, modelName } = picture;
  const pixels = header.width * header.height;
  const colours = header.colourChannels === 1 && !header.hasEqualColours ? "grey" : "RGB";
  const raw = (pixels * (colours === "grey" ? 1 : 3) + (header.hasAlpha ? pixels : 0)) * (header.bitDepth / 8);
  const seconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(2)} s`;
  const rows: [string, string][] = [
    ["File", name],
    ["Size", `${numbers.format(picture.fileBytes)} bytes, 1 : ${(raw / picture.fileBytes).toFixed(1)}`],
    ["Bits per pixel", ((8 * picture.fileBytes) / pixels).toFixed(3)],
    ["Picture", `${header.width} × ${header.height}, ${colours}${header.hasAlpha ? " and alpha" : ""}, ${header.bitDepth} bits`],
    ["Quality", modelName === null ? "without loss" : `${qualityOf(picture)} of 100`],
    ["Model", modelName === null ? "none" : modelName],
    ["Format", `version ${header.version}${header.isSliced ? ", in slices" : ""}`],
    ["Sections", sections.map((one) => `${one.name} ${numbers.format(one.bytes)}`).join(", ")],
    [modelName === null ? "Samples" : "Symbols", `checksum ${header.symbolChecksum.toString(16).padStart(8, "0")}, as in the file`],
    ["Decoded in", `${seconds(durations.symbols + durations.synthesis)}: symbols ${seconds(durations.symbols)}, picture ${seconds(durations.synthesis)}`],
    ...(durations.model > 1 ? [["Model loaded in", seconds(durations.model)] as [string, string]] : []),
    ...(picture.runtime === "" ? [] : [["Run by", picture.runtime] as [string, string]]),
  ];
  element("facts", HTMLDListElement).replaceChildren(
    ...rows.flatMap(([term, text]) => {
      const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
      [dt.textContent, dd.textContent] = [term, text];
      return [dt, dd];
    }),
  );
  element("legend-low", HTMLSpanElement).textContent = "0";
  element("legend-high", HTMLSpanElement).textContent = `${(bitsOfBrightest / POSITION_SIDE ** 2).toFixed(2)} bits per pixel`;
}

function readBits(event: PointerEvent): void {
  const map = opened?.picture.bitMap;
  if (bits.hidden || !map) return;
  const box = bits.getBoundingClientRect();
  const column = Math.floor(((event.clientX - box.left) / box.width) * (bits.width / POSITION_SIDE));
  const row = Math.floor(((event.clientY - box.top) / box.height) * (bits.height / POSITION_SIDE));
  const found = column < 0 || row < 0 ? undefined : map.bits[row * map.columns + column];
  if (found === undefined) return;
  element("reading", HTMLOutputElement).value = `here ${(found / POSITION_SIDE ** 2).toFixed(3)}, ${found.toFixed(0)} bits`;
}

async function save(): Promise<void> {
  if (opened === null) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await toPng(opened.picture));
  link.download = `${opened.name.replace(/\.tmix$/i, "")}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function close(): void {
  turn++;
  opened = null;
  shown = null;
  view.hidden = true;
  again.hidden = true;
  start.hidden = false;
  say("");
  element("choose", HTMLButtonElement).focus();
}

for (const [mode, button] of modes) button.addEventListener("click", () => show(mode));
for (const id of ["choose", "add"]) element(id, HTMLButtonElement).addEventListener("click", () => files.click());
files.addEventListener("change", () => {
  void openFiles([...(files.files ?? [])]).finally(() => {
    files.value = "";
  });
});
element("address-form", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  void openAddress(address.value);
});
again.addEventListener("click", close);
slider.addEventListener("input", () => layers.style.setProperty("--split", `${slider.value}%`));
layers.addEventListener("pointermove", readBits);
layers.addEventListener("pointerdown", readBits);
element("zoom", HTMLButtonElement).addEventListener("click", ({ currentTarget }) => {
  const isActual = stage.classList.toggle("actual");
  (currentTarget as HTMLButtonElement).ariaPressed = String(isActual);
});
element("save", HTMLButtonElement).addEventListener("click", () => void save().catch(sayError));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) document.body.classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  void openFiles([...(event.dataTransfer?.files ?? [])]);
});

const source = query.get("src");
if (source !== null) void openAddress(source);
void fetchBytes(new URL("example/example.json", document.baseURI).href)
  .then((found) => {
    if (found === null) return;
    const example = JSON.parse(new TextDecoder().decode(found)) as Example;
    const button = element("example", HTMLButtonElement);
    button.hidden = false;
    button.addEventListener("click", () => void openExample(example).catch(sayError));
  })
  .catch(sayError);
// Threads from the second visit on, and <img> with .tmix; a page opened where no service worker may run does without.
if ("serviceWorker" in navigator) void serveImages().catch(() => undefined);
