// Lossless WebP (RFC 9649, "VP8L"), the form of alpha planes and of pictures without a model. A decoder of our own:
// browsers give pixels back through a canvas only, which some of them change a little so that nobody is recognized by it.

import { corrupted } from "./errors.js";

const LITERALS = 256;
const LENGTH_CODES = 24;
const DISTANCE_CODES = 40;
const CODE_LENGTHS = 19;
const CODE_LENGTH_ORDER = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const HASH = 0x1e35a7bd;
/** Offsets [column, row] of the distance codes 1 to 120: those nearest first. */
const NEAR = [
  [0, 1], [1, 0], [1, 1], [-1, 1], [0, 2], [2, 0], [1, 2], [-1, 2], [2, 1], [-2, 1], [2, 2], [-2, 2], [0, 3], [3, 0],
  [1, 3], [-1, 3], [3, 1], [-3, 1], [2, 3], [-2, 3], [3, 2], [-3, 2], [0, 4], [4, 0], [1, 4], [-1, 4], [4, 1], [-4, 1],
  [3, 3], [-3, 3], [2, 4], [-2, 4], [4, 2], [-4, 2], [0, 5], [3, 4], [-3, 4], [4, 3], [-4, 3], [5, 0], [1, 5], [-1, 5],
  [5, 1], [-5, 1], [2, 5], [-2, 5], [5, 2], [-5, 2], [4, 4], [-4, 4], [3, 5], [-3, 5], [5, 3], [-5, 3], [0, 6], [6, 0],
  [1, 6], [-1, 6], [6, 1], [-6, 1], [2, 6], [-2, 6], [6, 2], [-6, 2], [4, 5], [-4, 5], [5, 4], [-5, 4], [3, 6], [-3, 6],
  [6, 3], [-6, 3], [0, 7], [7, 0], [1, 7], [-1, 7], [5, 5], [-5, 5], [7, 1], [-7, 1], [4, 6], [-4, 6], [6, 4], [-6, 4],
  [2, 7], [-2, 7], [7, 2], [-7, 2], [3, 7], [-3, 7], [7, 3], [-7, 3], [5, 6], [-5, 6], [6, 5], [-6, 5], [8, 0], [4, 7],
  [-4, 7], [7, 4], [-7, 4], [8, 1], [8, 2], [6, 6], [-6, 6], [8, 3], [5, 7], [-5, 7], [7, 5], [-7, 5], [8, 4], [6, 7],
  [-6, 7], [7, 6], [-7, 6], [8, 5], [7, 7], [-7, 7], [8, 6], [8, 7],
] as const;

function damaged(what: string): Error {
  return corrupted(`a lossless WebP file must hold what its encoder writes, found ${what}`);
}

class Bits {
  private position = 0;
  private held = 0;
  private count = 0;

  constructor(private readonly bytes: Uint8Array) {}

  /** Up to 24 bits, the lowest first; more than 8 zeros past the end are damage. */
  read(count: number): number {
    while (this.count < count) {
      if (this.position >= this.bytes.length + 8) throw damaged("an end too early");
      this.held |= (this.bytes[this.position++] ?? 0) << this.count;
      this.count += 8;
    }
    const value = this.held & ((1 << count) - 1);
    this.held >>>= count;
    this.count -= count;
    return value;
  }
}

/** A prefix code: counts of codes by length, and their symbols in order. */
class PrefixCode {
  private readonly counts = new Uint16Array(16);
  private readonly symbols: Uint16Array;
  private readonly lone: number;

  constructor(lengths: Uint8Array) {
    for (const length of lengths) this.counts[length]!++;
    this.counts[0] = 0;
    const offsets = new Uint16Array(17);
    let left = 1;
    for (let length = 1; length < 16; length++) {
      offsets[length + 1] = offsets[length]! + this.counts[length]!;
      left = 2 * left - this.counts[length]!;
      if (left < 0) throw damaged("a prefix code with too many words");
    }
    const used = offsets[16]!;
    this.symbols = new Uint16Array(used);
    lengths.forEach((length, symbol) => {
      if (length > 0) this.symbols[offsets[length]!++] = symbol;
    });
    if (used === 0) throw damaged("a prefix code without words");
    if (used > 1 && left > 0) throw damaged("a prefix code with too few words");
    this.lone = used === 1 ? this.symbols[0]! : -1;
  }

  read(bits: Bits): number {
    if (this.lone >= 0) return this.lone;
    let code = 0;
    let first = 0;
    let index = 0;
    for (let length = 1; length < 16; length++) {
      code |= bits.read(1);
      const count = this.counts[length]!;
      if (code - count < first) return this.symbols[index + code - first]!;
      index += count;
      first = (first + count) << 1;
      code <<= 1;
    }
    throw damaged("a word of no prefix code");
  }
}

function readPrefixCode(bits: Bits, size: number): PrefixCode {
  const lengths = new Uint8Array(size);
  if (bits.read(1)) {
    const count = bits.read(1) + 1;
    const first = bits.read(bits.read(1) ? 8 : 1);
    if (first >= size) throw damaged("a symbol of no alphabet");
    lengths[first] = 1;
    if (count === 2) {
      const second = bits.read(8);
      if (second >= size) throw damaged("a symbol of no alphabet");
      lengths[second] = 1;
    }
    return new PrefixCode(lengths);
  }
  const ofLengths = new Uint8Array(CODE_LENGTHS);
  const given = bits.read(4) + 4;
  for (let index = 0; index < given; index++) ofLengths[CODE_LENGTH_ORDER[index]!] = bits.read(3);
  const code = new PrefixCode(ofLengths);
  let left = size;
  if (bits.read(1)) {
    left = 2 + bits.read(2 + 2 * bits.read(3));
    if (left > size) throw damaged("more code lengths than symbols");
  }
  let previous = 8;
  for (let symbol = 0; symbol < size && left > 0; left--) {
    const length = code.read(bits);
    if (length < 16) {
      lengths[symbol++] = length;
      if (length > 0) previous = length;
      continue;
    }
    const repeats = length === 16 ? 3 + bits.read(2) : length === 17 ? 3 + bits.read(3) : 11 + bits.read(7);
    if (symbol + repeats > size) throw damaged("more code lengths than symbols");
    lengths.fill(length === 16 ? previous : 0, symbol, symbol + repeats);
    symbol += repeats;
  }
  return new PrefixCode(lengths);
}

function ceilingShift(size: number, shift: number): number {
  return (size + (1 << shift) - 1) >> shift;
}

/** A length or a distance from its prefix. */
function readExtended(bits: Bits, prefix: number): number {
  if (prefix < 4) return prefix + 1;
  const extra = (prefix - 2) >> 1;
  return ((2 + (prefix & 1)) << extra) + bits.read(extra) + 1;
}

/** Pixels as ARGB. */
function readPixels(bits: Bits, width: number, height: number, isMain: boolean): Uint32Array {
  const cacheBits = bits.read(1) ? bits.read(4) : 0;
  if (cacheBits > 11) throw damaged("a colour cache that is too large");
  const cache = new Uint32Array(cacheBits > 0 ? 1 << cacheBits : 0);
  let groupShift = 0;
  let groups = 1;
  let groupOf: Uint32Array | null = null;
  if (isMain && bits.read(1)) {
    groupShift = bits.read(3) + 2;
    groupOf = readPixels(bits, ceilingShift(width, groupShift), ceilingShift(height, groupShift), false);
    for (let index = 0; index < groupOf.length; index++) {
      groupOf[index] = (groupOf[index]! >>> 8) & 0xffff;
      groups = Math.max(groups, groupOf[index]! + 1);
    }
  }
  const sizes = [LITERALS + LENGTH_CODES + cache.length, LITERALS, LITERALS, LITERALS, DISTANCE_CODES];
  const codes = Array.from({ length: groups }, () => sizes.map((size) => readPrefixCode(bits, size)));
  const pixels = new Uint32Array(width * height);
  const groupWidth = ceilingShift(width, groupShift);
  let at = 0;
  let cached = 0;
  const fillCache = (): void => {
    for (; cached < at; cached++) cache[Math.imul(HASH, pixels[cached]!) >>> (32 - cacheBits)] = pixels[cached]!;
  };
  while (at < pixels.length) {
    const group = groupOf === null ? 0 : groupOf[(Math.floor(at / width) >> groupShift) * groupWidth + ((at % width) >> groupShift)]!;
    const [green, red, blue, alpha, distances] = codes[group]! as [PrefixCode, PrefixCode, PrefixCode, PrefixCode, PrefixCode];
    const symbol = green.read(bits);
    if (symbol < LITERALS) {
      const r = red.read(bits);
      const b = blue.read(bits);
      pixels[at++] = ((alpha.read(bits) << 24) | (r << 16) | (symbol << 8) | b) >>> 0;
    } else if (symbol < LITERALS + LENGTH_CODES) {
      const length = readExtended(bits, symbol - LITERALS);
      let distance = readExtended(bits, distances.read(bits));
      if (distance > NEAR.length) distance -= NEAR.length;
      else {
        const [column, row] = NEAR[distance - 1]!;
        distance = Math.max(1, column + row * width);
      }
      if (distance > at || at + length > pixels.length) throw damaged("a copy from outside of the picture");
      for (let index = 0; index < length; index++, at++) pixels[at] = pixels[at - distance]!;
    } else {
      if (cacheBits > 0) fillCache();
      pixels[at++] = cache[symbol - LITERALS - LENGTH_CODES]!;
    }
    if (cacheBits > 0) fillCache();
  }
  return pixels;
}

type Transform = (pixels: Uint32Array) => Uint32Array;

/** Sums of the four bytes, each by itself. */
function addBytes(a: number, b: number): number {
  return (((((a >>> 8) & 0xff00ff) + ((b >>> 8) & 0xff00ff)) & 0xff00ff) << 8) | (((a & 0xff00ff) + (b & 0xff00ff)) & 0xff00ff);
}

function average(a: number, b: number): number {
  return ((((a ^ b) & 0xfefefefe) >>> 1) + (a & b)) >>> 0;
}

function byteOf(pixel: number, shift: number): number {
  return (pixel >>> shift) & 255;
}

function select(left: number, top: number, corner: number): number {
  let difference = 0;
  for (const shift of [0, 8, 16, 24]) {
    const c = byteOf(corner, shift);
    difference += Math.abs(byteOf(top, shift) - c) - Math.abs(byteOf(left, shift) - c);
  }
  // The left one is nearer to left + top - corner where the top differs less from the corner.
  return difference < 0 ? left : top;
}

function clamped(value: number): number {
  return Math.min(Math.max(value, 0), 255);
}

function ofBytes(make: (shift: number) => number): number {
  return ((make(24) << 24) | (make(16) << 16) | (make(8) << 8) | make(0)) >>> 0;
}

function predicted(mode: number, left: number, top: number, topLeft: number, topRight: number): number {
  switch (mode) {
    case 1:
      return left;
    case 2:
      return top;
    case 3:
      return topRight;
    case 4:
      return topLeft;
    case 5:
      return average(average(left, topRight), top);
    case 6:
      return average(left, topLeft);
    case 7:
      return average(left, top);
    case 8:
      return average(topLeft, top);
    case 9:
      return average(top, topRight);
    case 10:
      return average(average(left, topLeft), average(top, topRight));
    case 11:
      return select(left, top, topLeft);
    case 12:
      return ofBytes((shift) => clamped(byteOf(left, shift) + byteOf(top, shift) - byteOf(topLeft, shift)));
    case 13: {
      const mean = average(left, top);
      return ofBytes((shift) => {
        const at = byteOf(mean, shift);
        return clamped(at + Math.trunc((at - byteOf(topLeft, shift)) / 2));
      });
    }
    default:
      return 0xff000000;
  }
}

function predictor(bits: Bits, width: number, height: number): Transform {
  const shift = bits.read(3) + 2;
  const columns = ceilingShift(width, shift);
  const modes = readPixels(bits, columns, ceilingShift(height, shift), false);
  return (pixels) => {
    for (let row = 0, at = 0; row < height; row++) {
      for (let column = 0; column < width; column++, at++) {
        let guess = 0xff000000;
        if (row === 0) guess = column === 0 ? guess : pixels[at - 1]!;
        else if (column === 0) guess = pixels[at - width]!;
        else {
          const mode = byteOf(modes[(row >> shift) * columns + (column >> shift)]!, 8) & 15;
          // To the right of the last column stands the first one of the same row.
          guess = predicted(mode, pixels[at - 1]!, pixels[at - width]!, pixels[at - width - 1]!, pixels[at - width + 1]!);
        }
        pixels[at] = addBytes(pixels[at]!, guess) >>> 0;
      }
    }
    return pixels;
  };
}

function signed(byte: number): number {
  return (byte << 24) >> 24;
}

function crossColour(bits: Bits, width: number, height: number): Transform {
  const shift = bits.read(3) + 2;
  const columns = ceilingShift(width, shift);
  const factors = readPixels(bits, columns, ceilingShift(height, shift), false);
  const delta = (factor: number, colour: number): number => (signed(factor) * signed(colour)) >> 5;
  return (pixels) => {
    for (let row = 0, at = 0; row < height; row++) {
      for (let column = 0; column < width; column++, at++) {
        const factor = factors[(row >> shift) * columns + (column >> shift)]!;
        const pixel = pixels[at]!;
        const green = byteOf(pixel, 8);
        const red = (byteOf(pixel, 16) + delta(byteOf(factor, 0), green)) & 255;
        const blue = (byteOf(pixel, 0) + delta(byteOf(factor, 8), green) + delta(byteOf(factor, 16), red)) & 255;
        pixels[at] = ((pixel & 0xff00ff00) | (red << 16) | blue) >>> 0;
      }
    }
    return pixels;
  };
}

function subtractGreen(pixels: Uint32Array): Uint32Array {
  for (let at = 0; at < pixels.length; at++) {
    const pixel = pixels[at]!;
    const green = byteOf(pixel, 8);
    pixels[at] = ((pixel & 0xff00ff00) | (((pixel & 0xff00ff) + ((green << 16) | green)) & 0xff00ff)) >>> 0;
  }
  return pixels;
}

/** Also gives the width that the pixels are stored with: several indices share one. */
function colourIndexing(bits: Bits, width: number, height: number): { transform: Transform; storedWidth: number } {
  const colours = bits.read(8) + 1;
  const table = readPixels(bits, colours, 1, false);
  for (let index = 1; index < colours; index++) table[index] = addBytes(table[index]!, table[index - 1]!) >>> 0;
  const shift = colours <= 2 ? 3 : colours <= 4 ? 2 : colours <= 16 ? 1 : 0;
  const storedWidth = ceilingShift(width, shift);
  const depth = 8 >> shift;
  const transform: Transform = (stored) => {
    const pixels = new Uint32Array(width * height);
    for (let row = 0, at = 0; row < height; row++) {
      for (let column = 0; column < width; column++, at++) {
        const held = byteOf(stored[row * storedWidth + (column >> shift)]!, 8);
        const index = (held >> (depth * (column & ((1 << shift) - 1)))) & ((1 << depth) - 1);
        pixels[at] = table[index] ?? 0;
      }
    }
    return pixels;
  };
  return { transform, storedWidth };
}

/** The pixels of a lossless WebP file, which must have this size, as ARGB. */
export function readLosslessWebp(file: Uint8Array, width: number, height: number): Uint32Array {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const text = (at: number): string => String.fromCharCode(...file.subarray(at, at + 4));
  let at = 12;
  while (at + 8 <= file.length && text(at) !== "VP8L") at += 8 + 2 * Math.ceil(view.getUint32(at + 4, true) / 2);
  if (at + 13 > file.length || file[at + 8] !== 0x2f) throw damaged("no lossless picture");
  const bits = new Bits(file.subarray(at + 9, at + 8 + view.getUint32(at + 4, true)));
  const found = [bits.read(14) + 1, bits.read(14) + 1];
  if (found[0] !== width || found[1] !== height) throw damaged(`${found.join(" x ")} pixels in place of ${width} x ${height}`);
  bits.read(1);
  if (bits.read(3) !== 0) throw damaged("another version");
  const transforms: Transform[] = [];
  const seen = new Set<number>();
  let storedWidth = width;
  while (bits.read(1)) {
    const kind = bits.read(2);
    if (seen.has(kind)) throw damaged("a transform twice");
    seen.add(kind);
    if (kind === 0) transforms.push(predictor(bits, storedWidth, height));
    else if (kind === 1) transforms.push(crossColour(bits, storedWidth, height));
    else if (kind === 2) transforms.push(subtractGreen);
    else {
      const indexing = colourIndexing(bits, storedWidth, height);
      transforms.push(indexing.transform);
      storedWidth = indexing.storedWidth;
    }
  }
  return transforms.reduceRight((pixels, transform) => transform(pixels), readPixels(bits, storedWidth, height, true));
}
