// The range decoder: docs/format.md, "Range coder". Its loops stand in kernel/kernel.ts.

import { corrupted } from "./errors.js";
import type { Kernel } from "./kernel.js";

const FULL_WIDTH = (1n << 64n) - 1n;
const FIRST_BYTES = 8;

/** Decodes the symbols of one stream, in any number of calls. */
export class RangeDecoder {
  /** Address of offset, width, words used, words in all and their address. */
  private readonly state: number;

  constructor(
    private readonly kernel: Kernel,
    private readonly stream: Uint8Array,
  ) {
    // Past the end are zeros, of which 8 may be read.
    const padded = new Uint8Array(stream.length + FIRST_BYTES);
    padded.set(stream);
    const count = Math.floor(stream.length / 2);
    const words = kernel.allocate(2 * count);
    const view = new DataView(padded.buffer);
    const to = new Uint16Array(kernel.loops.memory.buffer, words, count);
    for (let index = 0; index < count; index++) to[index] = view.getUint16(FIRST_BYTES + 2 * index);
    this.state = kernel.allocate(40);
    const state = new BigUint64Array(kernel.loops.memory.buffer, this.state, 5);
    state.set([view.getBigUint64(0), FULL_WIDTH, 0n, BigInt(count), BigInt(words)]);
  }

  /** Symbols of one channel by its edges; see `Exports` of the kernel. */
  decodeFactorized(symbols: number, count: number, edges: number, length: number, first: number): void {
    this.check(this.kernel.loops.decodeFactorized(symbols, count, edges, length, first, this.state));
  }

  /** Symbols of rows of channels by their mixtures; `decode` is given the address of the state. */
  decodeMixture(decode: (state: number) => number): void {
    this.check(decode(this.state));
  }

  /** Checks that the bytes end as an encoder ends them after the symbols so far. */
  finish(): void {
    const [offset, width, used] = new BigUint64Array(this.kernel.loops.memory.buffer, this.state, 3);
    const rest = this.stream.subarray(2 * Number(used));
    let code = 0n;
    for (let index = 0; index < FIRST_BYTES; index++) code = (code << 8n) | BigInt(rest[index] ?? 0);
    const wanted = ending((code - offset!) & FULL_WIDTH, width!);
    if (rest.length !== wanted.length || !wanted.every((byte, index) => byte === rest[index])) {
      throw corrupted(`compressed symbols must end in ${wanted.length} bytes as an encoder ends them, found others`);
    }
  }

  private check(answer: number): void {
    if (answer < 0) throw corrupted("compressed symbols must be what an encoder writes, found bytes of no symbol");
  }
}

/** The fewest bytes that name a number of the interval: of the numbers that end so early the smallest. */
function ending(low: bigint, width: bigint): number[] {
  for (let length = 0; length <= FIRST_BYTES; length++) {
    const mask = (1n << BigInt(64 - 8 * length)) - 1n;
    const last = (low + mask) & ~mask;
    if (last >= low + width) continue;
    const found = Array.from({ length }, (_, index) => Number((last >> BigInt(56 - 8 * index)) & 255n));
    while (found.at(-1) === 0) found.pop();
    return found;
  }
  throw new Error("an interval of the range coder must not be empty, found that it is: report the file");
}
