// The file as a whole: docs/format.md, "Header and section table" to "Slices".

import { crc32, hexadecimal } from "./crc32.js";
import { TmixError, corrupted, unsupported } from "./errors.js";
import { FieldReader } from "./fields.js";

const MAGIC = [0xd4, 0x54, 0x4d, 0x58];
const NEWEST_VERSION = 3;
const MAXIMUM_SIDE = 2 ** 30;
const METADATA_BYTES_MAXIMUM = 16 * 2 ** 20;
/** Steps of a quality in one. */
export const QUALITY_STEPS = 512;
/** Pictures of more are refused unless the caller says otherwise. */
export const MAXIMUM_PIXELS = 2 ** 26;
/** Positions a side of a slice. */
export const SLICE_SIDE = 32;

const SIDE = 0x01;
const LATENT = 0x02;
const ALPHA = 0x03;
const PIXELS = 0x04;
const ICC_PROFILE = 0x81;
const CHUNKS = 0x84;
const CRITICAL = new Map([
  [SIDE, "side"],
  [LATENT, "latent"],
  [ALPHA, "alpha"],
  [PIXELS, "pixels"],
]);
const METADATA = new Map([
  [ICC_PROFILE, "icc_profile"],
  [0x82, "exif"],
  [0x83, "xmp"],
  [CHUNKS, "chunks"],
  [0x85, "iptc"],
  [0x86, "extended_xmp"],
]);
const ANCILLARY = 0x80;
const DEFLATED = 0x40;
const EQUAL_COLOURS = 8;

export interface Header {
  readonly version: number;
  /** Frozen number of the architecture, 0 without a model. */
  readonly modelIdentifier: number;
  /** 16 hexadecimal digits. */
  readonly modelHash: string;
  readonly width: number;
  readonly height: number;
  /** Channels that are coded: 1 grey, 3 RGB. */
  readonly colourChannels: 1 | 3;
  readonly hasAlpha: boolean;
  /** One coded channel stands for three equal ones. */
  readonly hasEqualColours: boolean;
  readonly bitDepth: 8 | 16;
  /** Quality times 512. */
  readonly quality: number;
  readonly isSliced: boolean;
  readonly symbolChecksum: number;
}

export interface Section {
  readonly name: string;
  readonly bytes: number;
}

export interface Container {
  readonly header: Header;
  /** In the order of the file. */
  readonly sections: readonly Section[];
  readonly side: Uint8Array;
  readonly latent: Uint8Array;
  readonly alpha: Uint8Array;
  readonly pixels: Uint8Array;
  /** Of the pixels; empty for none. */
  readonly iccProfile: Uint8Array;
  /** Colours, resolution and text; see `readChunks`. */
  readonly chunks: Uint8Array;
}

interface TableEntry {
  readonly typeByte: number;
  readonly kind: number;
  readonly name: string;
  readonly bytes: number;
  readonly crc: number;
}

/** Whether the file has no model. */
export function isLossless(header: Header): boolean {
  return header.modelIdentifier === 0;
}

/** Reads a file; every byte of it is checked. */
export async function readContainer(data: Uint8Array): Promise<Container> {
  const reader = new FieldReader(data);
  const { header, table } = readHeader(reader);
  const fileBytes = table.reduce((sum, one) => sum + one.bytes, reader.position);
  if (data.length < fileBytes) {
    throw new TmixError(
      "truncated",
      `the file must have ${fileBytes} bytes, found ${data.length}: it was cut short, fetch it again`,
    );
  }
  if (data.length > fileBytes) {
    throw corrupted(`the file must end at byte ${fileBytes}, found ${data.length - fileBytes} more`);
  }
  const contents = new Map<number, Uint8Array>();
  for (const one of table) {
    const stored = reader.raw(one.bytes, one.name);
    const found = crc32(stored);
    if (found !== one.crc) {
      throw corrupted(`section ${one.name} must have CRC-32 ${hexadecimal(one.crc)}, found ${hexadecimal(found)}`);
    }
    if (CRITICAL.has(one.kind)) contents.set(one.kind, stored);
    else if (METADATA.has(one.kind)) contents.set(one.kind, await metadata(one, stored));
  }
  const section = (kind: number): Uint8Array => contents.get(kind) ?? new Uint8Array();
  return {
    header,
    sections: table.map(({ name, bytes }) => ({ name, bytes })),
    side: section(SIDE),
    latent: section(LATENT),
    alpha: section(ALPHA),
    pixels: section(PIXELS),
    iccProfile: section(ICC_PROFILE),
    chunks: section(CHUNKS),
  };
}

function readHeader(reader: FieldReader): { header: Header; table: TableEntry[] } {
  const magic = reader.bytes.subarray(0, 4);
  if (!magic.every((byte, index) => byte === MAGIC[index])) {
    throw new TmixError("not-tmix", "a .tmix file must begin with d4 54 4d 58, found other bytes: it is another kind of file");
  }
  reader.raw(4, "the magic number");
  const version = reader.unsigned(1, "the format version");
  if (version < 1 || version > NEWEST_VERSION) {
    throw unsupported(`the format version must be 1 to ${NEWEST_VERSION}, found ${version}`);
  }
  const modelIdentifier = reader.unsigned(2, "the model identifier");
  const modelHash = [...reader.raw(8, "the weights hash")].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const width = reader.varint("the width");
  const height = reader.varint("the height");
  const channels = reader.unsigned(1, "the channels");
  const bitDepth = reader.unsigned(1, "the bit depth");
  const quality = reader.unsigned(2, "the quality");
  const layout = reader.unsigned(1, "the tile layout");
  const symbolChecksum = reader.unsigned(4, "the symbol checksum");
  const table = Array.from({ length: reader.unsigned(1, "the section count") }, () => readEntry(reader));
  const computed = crc32(reader.bytes.subarray(0, reader.position));
  const stored = reader.unsigned(4, "the CRC-32 of the header");
  if (stored !== computed) {
    throw corrupted(`the header must have CRC-32 ${hexadecimal(computed)}, found ${hexadecimal(stored)}`);
  }
  for (const [name, value] of [
    ["the width", width],
    ["the height", height],
  ] as const) {
    if (value < 1 || value > MAXIMUM_SIDE) throw corrupted(`${name} must be 1 to 2^30 pixels, found ${value}`);
  }
  // Reserved values first, as docs/format.md asks, then impossible ones.
  const hasEqualColours = (channels & EQUAL_COLOURS) !== 0;
  const plain = channels & ~EQUAL_COLOURS;
  const hasAlpha = plain === 2 || plain === 4;
  if (layout > 1) throw unsupported(`the tile layout must be 0 or 1, found ${layout}`);
  const needed = modelIdentifier === 0 || layout === 1 ? 3 : hasAlpha || hasEqualColours || bitDepth > 8 ? 2 : 1;
  if (version < needed) throw unsupported(`a file of this header must have version ${needed}, found ${version}`);
  if (plain < 1 || plain > 4 || (hasEqualColours && plain < 3)) {
    throw corrupted(`channels must be 1 to 4, and 3 or 4 where they are equal, found ${channels}`);
  }
  if (bitDepth !== 8 && bitDepth !== 16) throw corrupted(`the bit depth must be 8 or 16, found ${bitDepth}`);
  if (quality < QUALITY_STEPS || quality > 100 * QUALITY_STEPS) {
    throw corrupted(`the quality must be 512 to 51200, found ${quality}`);
  }
  const isWithoutModel = modelIdentifier === 0;
  if (isWithoutModel && (modelHash !== "0".repeat(16) || quality !== 100 * QUALITY_STEPS || layout !== 0)) {
    throw corrupted("a picture without a model must have a hash of zeros, quality 51200 and no slices, found others");
  }
  checkSections(table, isWithoutModel, hasAlpha);
  const header: Header = {
    version,
    modelIdentifier,
    modelHash,
    width,
    height,
    colourChannels: plain < 3 || hasEqualColours ? 1 : 3,
    hasAlpha,
    hasEqualColours,
    bitDepth,
    quality,
    isSliced: layout === 1,
    symbolChecksum,
  };
  return { header, table };
}

function readEntry(reader: FieldReader): TableEntry {
  const typeByte = reader.unsigned(1, "the type of a section");
  const kind = typeByte & ~DEFLATED;
  const name = CRITICAL.get(kind) ?? METADATA.get(kind) ?? `unknown 0x${typeByte.toString(16).padStart(2, "0")}`;
  return {
    typeByte,
    kind,
    name,
    bytes: reader.varint(`the length of section ${name}`),
    crc: reader.unsigned(4, `the CRC-32 of section ${name}`),
  };
}

function checkSections(table: readonly TableEntry[], isWithoutModel: boolean, hasAlpha: boolean): void {
  const kinds = new Set<number>();
  for (const one of table) {
    if (kinds.has(one.kind)) throw corrupted(`a section must stand once in a file, found ${one.name} twice`);
    kinds.add(one.kind);
    if (one.typeByte & ANCILLARY) continue;
    if (!CRITICAL.has(one.kind)) throw unsupported(`every critical section must be known, found ${one.name}`);
    if (one.typeByte & DEFLATED) throw unsupported(`section ${one.name} must be stored as it is, found it deflated`);
  }
  const needed = new Set([...(isWithoutModel ? [PIXELS] : [SIDE, LATENT]), ...(hasAlpha ? [ALPHA] : [])]);
  for (const [kind, name] of CRITICAL) {
    if (kinds.has(kind) !== needed.has(kind)) {
      throw corrupted(`a file of this header ${needed.has(kind) ? "must" : "must not"} have a section ${name}`);
    }
  }
}

async function metadata(section: TableEntry, stored: Uint8Array): Promise<Uint8Array> {
  const reader = new FieldReader(stored);
  const isDeflated = (section.typeByte & DEFLATED) !== 0;
  const declared = isDeflated ? reader.varint(`the raw length of ${section.name}`) : stored.length;
  if (declared > METADATA_BYTES_MAXIMUM) {
    throw corrupted(`${section.name} may have at most ${METADATA_BYTES_MAXIMUM} bytes, found ${declared}`);
  }
  return isDeflated ? inflate(reader.raw(reader.remaining, section.name), declared, section.name) : stored;
}

/** Unpacks a zlib stream that must have exactly so many bytes; never more are made. */
export async function inflate(deflated: Uint8Array, bytes: number, name: string): Promise<Uint8Array> {
  const raw = new Uint8Array(bytes);
  let filled = 0;
  const stream = new Blob([copyOf(deflated)]).stream().pipeThrough(new DecompressionStream("deflate"));
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (filled + value.length > bytes) break;
      raw.set(value, filled);
      filled += value.length;
      if (filled === bytes && (await reader.read()).done) return raw;
    }
  } catch {
    throw corrupted(`${name} must be a zlib stream, found that it is not`);
  } finally {
    await reader.cancel().catch(() => undefined);
  }
  if (filled === bytes && bytes === 0) return raw;
  throw corrupted(`${name} must unpack to the declared ${bytes} bytes, found another length`);
}

/** The bytes in a buffer of their own, which is what blobs and messages take. */
export function copyOf(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes);
}

export interface SliceStream {
  readonly stream: Uint8Array;
  readonly symbolChecksum: number;
}

/** The slices of a section `latent` in slices. */
export function splitSlices(section: Uint8Array, count: number): SliceStream[] {
  const reader = new FieldReader(section);
  const table: { length: number; checksum: number }[] = [];
  for (let index = 0; index < count; index++) {
    const length = reader.varint("the length of a slice");
    table.push({ length, checksum: reader.unsigned(4, "the symbol checksum of a slice") });
  }
  const computed = crc32(section.subarray(0, reader.position));
  const stored = reader.unsigned(4, "the CRC-32 of the index of slices");
  if (stored !== computed) {
    throw corrupted(`the index of slices must have CRC-32 ${hexadecimal(computed)}, found ${hexadecimal(stored)}`);
  }
  const wanted = table.reduce((sum, one) => sum + one.length, 0);
  if (wanted !== reader.remaining) {
    throw corrupted(`the slices must fill their section, ${wanted} bytes, found ${reader.remaining}`);
  }
  return table.map((one) => ({ stream: reader.raw(one.length, "a slice"), symbolChecksum: one.checksum }));
}

/** A chunk in PNG's form. */
export interface Chunk {
  readonly type: string;
  readonly contents: Uint8Array;
}

const KEPT_CHUNKS = new Set(["cICP", "mDCV", "cLLI", "sRGB", "gAMA", "cHRM", "pHYs", "tEXt", "zTXt", "iTXt"]);

/** The chunks of a section `chunks`, up to a malformed one. */
export function readChunks(section: Uint8Array): Chunk[] {
  const reader = new FieldReader(section);
  const found: Chunk[] = [];
  while (reader.remaining > 0) {
    try {
      const type = String.fromCharCode(...reader.raw(4, "the type of a chunk"));
      const contents = reader.raw(reader.varint("the length of a chunk"), "a chunk");
      if (KEPT_CHUNKS.has(type)) found.push({ type, contents });
    } catch (error) {
      if (error instanceof TmixError) break;
      throw error;
    }
  }
  return found;
}
