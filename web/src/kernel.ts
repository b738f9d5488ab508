// The compiled loops of kernel/kernel.ts, and the memory that they work in.

import bytes from "../build/kernel.wasm";

/** Addresses and counts; what the functions do stands in kernel/kernel.ts. */
interface Exports {
  readonly memory: WebAssembly.Memory;
  heapBase(): number;
  pack(row: number, order: number, length: number, packed: number): void;
  multiply(
    rows: number,
    rowBytes: number,
    rowCount: number,
    weights: number,
    outputs: number,
    segments: number,
    segmentCount: number,
    sums: number,
  ): void;
  multiplyWide(
    rows: number,
    inputs: number,
    rowCount: number,
    weights: number,
    outputs: number,
    paddedOutputs: number,
    sums: number,
  ): void;
  requantize(
    sums: number,
    rowCount: number,
    outputs: number,
    paddedOutputs: number,
    facts: number,
    results: number,
  ): void;
  mixtureParameters(
    numbers: number,
    rowCount: number,
    channels: number,
    components: number,
    groups: number,
    hasLogits: number,
    hasMeans: number,
    isAroundMean: number,
    scaleForm: number,
    scaleMinimum: number,
    exponentials: number,
    thresholds: number,
    scratch: number,
    weights: number,
    means: number,
    scales: number,
    centres: number,
  ): void;
  decodeMixture(
    symbols: number,
    rowCount: number,
    channels: number,
    components: number,
    families: number,
    tables: number,
    inverses: number,
    weights: number,
    means: number,
    scales: number,
    state: number,
    information: number,
  ): number;
  decodeFactorized(
    symbols: number,
    count: number,
    edges: number,
    length: number,
    first: number,
    state: number,
  ): number;
}

const PAGE_BYTES = 65536;
const ALIGNMENT = 16;

let compiled: Promise<WebAssembly.Module> | undefined;

/** The loops with a memory of their own, which is handed out from the bottom and given back from the top. */
export class Kernel {
  private top: number;

  private constructor(readonly loops: Exports) {
    this.top = loops.heapBase();
  }

  static async create(): Promise<Kernel> {
    compiled ??= WebAssembly.compile(bytes);
    const imports = {
      env: {
        abort: () => {
          throw new Error("the integer path must not end early, found that it did: report the file");
        },
      },
    };
    const instance = await WebAssembly.instantiate(await compiled, imports);
    return new Kernel(instance.exports as unknown as Exports);
  }

  /** The address of so many bytes. Views of the memory that were made before may be detached. */
  allocate(byteCount: number): number {
    const at = Math.ceil(this.top / ALIGNMENT) * ALIGNMENT;
    this.top = at + byteCount;
    const missing = this.top - this.loops.memory.buffer.byteLength;
    if (missing > 0) this.loops.memory.grow(Math.ceil(missing / PAGE_BYTES));
    return at;
  }

  /** Runs something, and gives back all memory that it allocated. */
  scoped<Result>(run: () => Result): Result {
    const before = this.top;
    try {
      return run();
    } finally {
      this.top = before;
    }
  }

  bytes(at: number, length: number): Uint8Array {
    return new Uint8Array(this.loops.memory.buffer, at, length);
  }

  shorts(at: number, length: number): Int16Array {
    return new Int16Array(this.loops.memory.buffer, at, length);
  }

  integers(at: number, length: number): Int32Array {
    return new Int32Array(this.loops.memory.buffer, at, length);
  }

  longs(at: number, length: number): BigInt64Array {
    return new BigInt64Array(this.loops.memory.buffer, at, length);
  }

  floats(at: number, length: number): Float32Array {
    return new Float32Array(this.loops.memory.buffer, at, length);
  }

  /** The address of a copy of some integers. */
  keep(values: ArrayLike<number>): number {
    const at = this.allocate(4 * values.length);
    this.integers(at, values.length).set(values);
    return at;
  }
}
