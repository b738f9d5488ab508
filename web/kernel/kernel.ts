// The loops of the integer path, in AssemblyScript: 64-bit integers and products of 16-bit ones, which JavaScript lacks.
// The formulas stand in docs/format.md, "Payload" and "The integer path". All arguments are addresses or counts; the
// caller (src/integer_path.ts, src/range_decoder.ts) owns the memory.

const TOTAL_BITS: u64 = 30;
const WIDTH_MINIMUM: u64 = 1 << 48;
const WORD_BITS: u64 = 16;
const DIRECT_MINIMUM: i64 = -2048;
const DIRECT_MAXIMUM: i64 = 2047;
const SYMBOL_LIMIT: i64 = 1 << 15;
const SPREAD: i64 = (1 << 30) - 4098;
const POSITION_LIMIT: i64 = (24 * 32) << 16;
const TABLE_COLUMNS: usize = 1538;
const MIXTURE_ESCAPE_ORDER: u64 = 8;
const FACTORIZED_ESCAPE_ORDER: u64 = 0;
const EXPONENT_LIMIT: u64 = 15;
const CORRUPTED: i32 = -1;

/** The first address that the caller may use. */
export function heapBase(): usize {
  return __heap_base;
}

// ---------------------------------------------------------------------------------------------- layers

/** Copies the numbers of a row in another order, as 16 bits; -1 in the order stands for 0. */
export function pack(row: usize, order: usize, length: i32, packed: usize): void {
  for (let index: usize = 0; index < <usize>length; index++) {
    const from = load<i32>(order + 4 * index);
    store<i16>(packed + 2 * index, from < 0 ? 0 : <i16>load<i32>(row + 4 * <usize>from));
  }
}

// @ts-ignore: a decorator of AssemblyScript
@inline
function addShifted(sums: usize, four: v128, shift: i32): void {
  v128.store(sums, i64x2.add(v128.load(sums), i64x2.shl(i64x2.extend_low_i32x4_s(four), shift)));
  v128.store(sums + 16, i64x2.add(v128.load(sums + 16), i64x2.shl(i64x2.extend_high_i32x4_s(four), shift)));
}

/**
 * Rows times a matrix, exactly. Rows come in fours, outputs in eights; the weights are ordered by eight outputs, pair of
 * inputs, output, input of the pair. A segment [pairs, shift] holds so few inputs that 32 bits hold their sum.
 */
export function multiply(
  rows: usize, rowBytes: usize, rowCount: i32, weights: usize, outputs: i32, segments: usize, segmentCount: i32,
  sums: usize,
): void {
  const sumBytes: usize = 8 * <usize>outputs;
  memory.fill(sums, 0, <usize>rowCount * sumBytes);
  const blockBytes: usize = 8 * rowBytes;
  for (let block: i32 = 0; block < outputs; block += 8) {
    const ofBlock = weights + <usize>(block >> 3) * blockBytes;
    for (let first: i32 = 0; first < rowCount; first += 4) {
      let w = ofBlock;
      let x = rows + <usize>first * rowBytes;
      const to = sums + <usize>first * sumBytes + 8 * <usize>block;
      for (let segment: i32 = 0; segment < segmentCount; segment++) {
        const pairs = load<i32>(segments + 8 * <usize>segment);
        const shift = load<i32>(segments + 8 * <usize>segment + 4);
        let a0 = i32x4.splat(0), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0;
        const end = w + 32 * <usize>pairs;
        while (w < end) {
          const w0 = v128.load(w), w1 = v128.load(w, 16);
          const a = v128.load32_splat(x);
          a0 = i32x4.add(a0, i32x4.dot_i16x8_s(a, w0));
          a1 = i32x4.add(a1, i32x4.dot_i16x8_s(a, w1));
          const b = v128.load32_splat(x + rowBytes);
          b0 = i32x4.add(b0, i32x4.dot_i16x8_s(b, w0));
          b1 = i32x4.add(b1, i32x4.dot_i16x8_s(b, w1));
          const c = v128.load32_splat(x + 2 * rowBytes);
          c0 = i32x4.add(c0, i32x4.dot_i16x8_s(c, w0));
          c1 = i32x4.add(c1, i32x4.dot_i16x8_s(c, w1));
          const d = v128.load32_splat(x + 3 * rowBytes);
          d0 = i32x4.add(d0, i32x4.dot_i16x8_s(d, w0));
          d1 = i32x4.add(d1, i32x4.dot_i16x8_s(d, w1));
          w += 32;
          x += 4;
        }
        addShifted(to, a0, shift);
        addShifted(to + 32, a1, shift);
        addShifted(to + sumBytes, b0, shift);
        addShifted(to + sumBytes + 32, b1, shift);
        addShifted(to + 2 * sumBytes, c0, shift);
        addShifted(to + 2 * sumBytes + 32, c1, shift);
        addShifted(to + 3 * sumBytes, d0, shift);
        addShifted(to + 3 * sumBytes + 32, d1, shift);
      }
    }
  }
}

/** The same for inputs of more than 16 bits, in 64 bits; weights are [outputs inputs] in 32 bits, rows in 32 bits. */
export function multiplyWide(
  rows: usize, inputs: i32, rowCount: i32, weights: usize, outputs: i32, paddedOutputs: i32, sums: usize,
): void {
  for (let row: i32 = 0; row < rowCount; row++) {
    const x = rows + 4 * <usize>row * <usize>inputs;
    const to = sums + 8 * <usize>row * <usize>paddedOutputs;
    for (let output: i32 = 0; output < outputs; output++) {
      const w = weights + 4 * <usize>output * <usize>inputs;
      let sum: i64 = 0;
      for (let at: usize = 0; at < 4 * <usize>inputs; at += 4) sum += <i64>load<i32>(w + at) * <i64>load<i32>(x + at);
      store<i64>(to + 8 * <usize>output, sum);
    }
  }
}

/** Sums -> results in 32 bits. Of every output: bias i64, multiplier, negative multiplier, shift, minimum, maximum i32. */
export function requantize(sums: usize, rowCount: i32, outputs: i32, paddedOutputs: i32, facts: usize, results: usize): void {
  for (let row: i32 = 0; row < rowCount; row++) {
    let from = sums + 8 * <usize>row * <usize>paddedOutputs;
    let to = results + 4 * <usize>row * <usize>outputs;
    let fact = facts;
    for (let output: i32 = 0; output < outputs; output++) {
      const sum = load<i64>(from) + load<i64>(fact);
      const multiplier = sum < 0 ? load<i32>(fact, 12) : load<i32>(fact, 8);
      const shift = <i64>load<i32>(fact, 16);
      const value = (sum * <i64>multiplier + (<i64>1 << (shift - 1))) >> shift;
      store<i32>(to, <i32>min(max(value, <i64>load<i32>(fact, 20)), <i64>load<i32>(fact, 24)));
      from += 8;
      to += 4;
      fact += 32;
    }
  }
}

// --------------------------------------------------------------------------------------------- mixture

/** Softmax of base 2 over `count` logits that stand `stride` numbers apart; weights of sum 2^16. */
function softmax(logits: usize, stride: usize, count: i32, exponentials: usize, weights: usize): void {
  let largest = load<i32>(logits);
  for (let k: usize = 1; k < <usize>count; k++) largest = max(largest, load<i32>(logits + 4 * stride * k));
  let total: i64 = 0;
  for (let k: usize = 0; k < <usize>count; k++) {
    const below = <i64>largest - <i64>load<i32>(logits + 4 * stride * k);
    const exponential = load<i32>(exponentials + 4 * <usize>(below & 255)) >> <i32>min<i64>(below >> 8, 31);
    store<i32>(weights + 4 * k, exponential);
    total += exponential;
  }
  let left: i32 = 1 << 16;
  let which: usize = 0;
  for (let k: usize = 0; k < <usize>count; k++) {
    const weight = <i32>((<i64>load<i32>(weights + 4 * k) << 16) / total);
    store<i32>(weights + 4 * k, weight);
    left -= weight;
    if (weight > load<i32>(weights + 4 * which)) which = k;
  }
  store<i32>(weights + 4 * which, load<i32>(weights + 4 * which) + left);
}

function softmaxOfGroups(
  groupLogits: usize, logits: usize, stride: usize, groups: i32, ofGroup: i32, exponentials: usize, weights: usize,
  scratch: usize,
): void {
  softmax(groupLogits, stride, groups, exponentials, scratch);
  let left: i32 = 1 << 16;
  let which: usize = 0;
  for (let group: i32 = 0; group < groups; group++) {
    const first = <usize>(group * ofGroup);
    softmax(logits + 4 * stride * first, stride, ofGroup, exponentials, weights + 4 * first);
    for (let k = first; k < first + <usize>ofGroup; k++) {
      const weight = <i32>((<i64>load<i32>(weights + 4 * k) * <i64>load<i32>(scratch + 4 * <usize>group)) >> 16);
      store<i32>(weights + 4 * k, weight);
      left -= weight;
      if (weight > load<i32>(weights + 4 * which)) which = k;
    }
  }
  store<i32>(weights + 4 * which, load<i32>(weights + 4 * which) + left);
}

/**
 * Numbers of the last layer -> weights, means and scale indices [rows channels components], and the means that latents
 * are rounded around.
 *
 * `groups`: families with logits of their own, 0 for none. `scaleForm`: 0 indices, 1 bounded, 2 absolute.
 */
export function mixtureParameters(
  numbers: usize, rowCount: i32, channels: i32, components: i32, groups: i32, hasLogits: bool, hasMeans: bool,
  isAroundMean: bool, scaleForm: i32, scaleMinimum: i32, exponentials: usize, thresholds: usize, scratch: usize,
  weights: usize, means: usize, scales: usize, centres: usize,
): void {
  const stride = <usize>channels;
  const ofGroup = groups > 0 ? components / groups : components;
  const logitsAt = groups * channels;
  const meansAt = logitsAt + (hasLogits ? components * channels : 0);
  const scalesAt = meansAt + (hasMeans ? components * channels : 0);
  const length = <usize>(scalesAt + components * channels);
  const count = <usize>components;
  for (let row: i32 = 0; row < rowCount; row++) {
    const ofRow = numbers + 4 * <usize>row * length;
    for (let channel: usize = 0; channel < stride; channel++) {
      const from = ofRow + 4 * channel;
      if (groups > 0) {
        softmaxOfGroups(from, from + 4 * <usize>logitsAt, stride, groups, ofGroup, exponentials, weights, scratch);
      } else if (hasLogits) {
        softmax(from + 4 * <usize>logitsAt, stride, components, exponentials, weights);
      } else {
        store<i32>(weights, 1 << 16);
      }
      for (let k: usize = 0; k < count; k++) {
        const mean = hasMeans ? load<i32>(from + 4 * (<usize>meansAt + stride * k)) : 0;
        store<i32>(means + 4 * k, isAroundMean ? 0 : mean);
        let scale = load<i32>(from + 4 * (<usize>scalesAt + stride * k));
        if (scaleForm != 0) {
          if (scaleForm == 2) scale = abs(scale) + scaleMinimum;
          let low = 0, high = 255;
          while (low < high) {
            const middle = (low + high) >> 1;
            if (load<i32>(thresholds + 4 * <usize>middle) < scale) low = middle + 1;
            else high = middle;
          }
          scale = low;
        }
        store<i32>(scales + 4 * k, scale);
      }
      if (isAroundMean) {
        store<i32>(centres, load<i32>(from + 4 * <usize>meansAt));
        centres += 4;
      }
      weights += 4 * count;
      means += 4 * count;
      scales += 4 * count;
    }
  }
}

// @ts-ignore: a decorator of AssemblyScript
@inline
function tableValue(table: usize, position: i64): i64 {
  const counted = min(max(position, -POSITION_LIMIT), POSITION_LIMIT) + POSITION_LIMIT;
  const at = table + 4 * <usize>(counted >> 16);
  const lower = <i64>load<u32>(at);
  return lower + (((<i64>load<u32>(at, 4) - lower) * (counted & 65535)) >> 16);
}

/** F(v) of the mixture at these parameters. */
function edge(
  value: i64, components: usize, families: usize, tables: usize, inverses: usize, weights: usize, means: usize, scales: usize,
): i64 {
  let total: i64 = 0;
  const place = 64 * value - 32;
  for (let k: usize = 0; k < 4 * components; k += 4) {
    const weight = <i64>load<i32>(weights + k);
    if (weight == 0) continue;
    const inverse = <i64>load<i32>(inverses + 4 * <usize>load<i32>(scales + k));
    const position = ((place - <i64>load<i32>(means + k)) * inverse) >> 7;
    total += weight * tableValue(tables + 4 * TABLE_COLUMNS * <usize>load<i32>(families + k), position);
  }
  return (((total >> 16) * SPREAD) >> 30) + value + 2049;
}

// --------------------------------------------------------------------------------------- range decoder

// The decoder's state, between calls in memory: offset of the code in the interval, width, words used.
let offset: u64 = 0;
let width: u64 = 0;
let used: i64 = 0;
let words: usize = 0;
let wordCount: i64 = 0;

function open(state: usize): void {
  offset = load<u64>(state);
  width = load<u64>(state, 8);
  used = load<i64>(state, 16);
  wordCount = load<i64>(state, 24);
  words = <usize>load<u64>(state, 32);
}

function close(state: usize): void {
  store<u64>(state, offset);
  store<u64>(state, width, 8);
  store<i64>(state, used, 16);
}

// @ts-ignore: a decorator of AssemblyScript
@inline
function take(start: u64, frequency: u64, step: u64): void {
  offset -= step * start;
  width = step * frequency;
  while (width < WIDTH_MINIMUM) {
    const word: u64 = used < wordCount ? <u64>load<u16>(words + 2 * <usize>used) : 0;
    used++;
    offset = (offset << WORD_BITS) | word;
    width <<= WORD_BITS;
  }
}

/** Equiprobable bits, or -1 where the code belongs to none. */
function takeBits(bits: u64): i64 {
  const step = width >> bits;
  const value = offset / step;
  if (value >> bits != 0) return -1;
  take(value, 1, step);
  return <i64>value;
}

/** What the last escape's excess took. */
let escapeBits: f64 = 0;

/** The excess of an escape, or -1. */
function readExcess(order: u64): i64 {
  let exponent = order;
  let bit = takeBits(1);
  while (bit == 0) {
    exponent++;
    if (exponent > EXPONENT_LIMIT) return -1;
    bit = takeBits(1);
  }
  if (bit < 0) return -1;
  const rest = takeBits(exponent);
  if (rest < 0) return -1;
  escapeBits = f64(i64(2 * exponent - order + 1));
  return (<i64>1 << <i64>exponent) + rest - (<i64>1 << <i64>order);
}

/** Symbols of rows of channels, and of every row its information in bits (float32). Returns their number or -1. */
export function decodeMixture(
  symbols: usize, rowCount: i32, channels: i32, components: i32, families: usize, tables: usize, inverses: usize,
  weights: usize, means: usize, scales: usize, state: usize, information: usize,
): i32 {
  open(state);
  const count = <usize>components;
  for (let row: i32 = 0; row < rowCount; row++) {
    let bits: f64 = 0;
    let probability: f64 = 1;
    for (let channel: i32 = 0; channel < channels; channel++) {
      const step = width >> TOTAL_BITS;
      if (offset >= step << TOTAL_BITS) return CORRUPTED;
      let mean: i64 = 0;
      for (let k: usize = 0; k < 4 * count; k += 4) mean += <i64>load<i32>(weights + k) * <i64>load<i32>(means + k);
      const guess = min(max(((mean >> 16) + 32) >> 6, DIRECT_MINIMUM), DIRECT_MAXIMUM);
      // The code lies in [edge of low, edge of high): away from the guess with doubled strides, then halves.
      let low = DIRECT_MINIMUM - 1, lowEdge: i64 = 0;
      let high = DIRECT_MAXIMUM + 2, highEdge: i64 = 1 << 30;
      let at = edge(guess, count, families, tables, inverses, weights, means, scales);
      const isDown = offset < step * <u64>at;
      if (isDown) {
        high = guess;
        highEdge = at;
      } else {
        low = guess;
        lowEdge = at;
      }
      let stride: i64 = 1;
      while (high - low > 1) {
        let probe = isDown ? high - stride : low + stride;
        stride *= 2;
        if (probe <= low || probe >= high) probe = (low + high) >> 1;
        at = edge(probe, count, families, tables, inverses, weights, means, scales);
        if (offset < step * <u64>at) {
          high = probe;
          highEdge = at;
          if (!isDown) stride = 1 << 20;
        } else {
          low = probe;
          lowEdge = at;
          if (isDown) stride = 1 << 20;
        }
      }
      take(<u64>lowEdge, <u64>(highEdge - lowEdge), step);
      probability *= <f64>(highEdge - lowEdge) / <f64>(1 << 30);
      if (probability < 1e-250) {
        bits -= Math.log2(probability);
        probability = 1;
      }
      let value = low;
      if (value < DIRECT_MINIMUM || value > DIRECT_MAXIMUM) {
        const excess = readExcess(MIXTURE_ESCAPE_ORDER);
        if (excess < 0) return CORRUPTED;
        bits += escapeBits;
        value = value < 0 ? value - excess : value + excess;
        if (value >= SYMBOL_LIMIT || value <= -SYMBOL_LIMIT) return CORRUPTED;
      }
      if (used > wordCount) return CORRUPTED;
      store<i32>(symbols, <i32>value);
      symbols += 4;
      weights += 4 * count;
      means += 4 * count;
      scales += 4 * count;
    }
    store<f32>(information + 4 * <usize>row, <f32>(bits - Math.log2(probability)));
  }
  close(state);
  return rowCount * channels;
}

/** Symbols of one channel by its table of edges. Returns their number or -1. */
export function decodeFactorized(symbols: usize, count: i32, edges: usize, length: i32, first: i32, state: usize): i32 {
  open(state);
  for (let index: i32 = 0; index < count; index++) {
    const step = width >> TOTAL_BITS;
    if (offset >= step << TOTAL_BITS) return CORRUPTED;
    let low = 0, high = length + 2;
    while (high - low > 1) {
      const probe = (low + high) >> 1;
      if (offset < step * <u64>load<u32>(edges + 4 * <usize>probe)) high = probe;
      else low = probe;
    }
    const lower = <u64>load<u32>(edges + 4 * <usize>low);
    take(lower, <u64>load<u32>(edges + 4 * <usize>high) - lower, step);
    let value = <i64>(first + low - 1);
    if (low == 0 || low == length + 1) {
      const excess = readExcess(FACTORIZED_ESCAPE_ORDER);
      if (excess < 0) return CORRUPTED;
      value = low == 0 ? value - excess : value + excess;
      if (value >= SYMBOL_LIMIT || value <= -SYMBOL_LIMIT) return CORRUPTED;
    }
    if (used > wordCount) return CORRUPTED;
    store<i32>(symbols + 4 * <usize>index, <i32>value);
  }
  close(state);
  return count;
}
