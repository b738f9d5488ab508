// Integer layers: docs/format.md, "The integer path".
//
//     weight = number << shift   -->  inputs ordered by shift, in segments of at most 512 --> 16-bit products, sums in
//     weight = 256 high + low    -->  inputs twice, high first                               32 bits, shifted and
//     inputs beyond 16 bits      -->  products in 64 bits                                    added in 64

import type { Kernel } from "./kernel.js";
import type { Model } from "./model.js";
import { numbersOf, tensorOf } from "./model.js";

/** Inputs whose products with 8-bit weights 32 bits can hold the sum of. */
const INPUTS_OF_SEGMENT = 512;
const LARGEST_SHORT = 2 ** 15 - 1;
const LANES = 8;
const ROWS_TOGETHER = 4;
const BYTES_OF_FACTS = 32;
/** Rows that a layer is applied to at a time: they stay in the processor's cache. */
export const ROWS_AT_ONCE = 32;

/** An input with its weights of at most 8 bits, which stand in [outputs inputs], and their shift. */
interface Column {
  readonly input: number;
  readonly weights: Int8Array | Int16Array;
  readonly shift: number;
}

/** A layer in the kernel's memory. */
export class IntegerLayer {
  readonly inputs: number;
  readonly outputs: number;
  private readonly paddedOutputs: number;
  private readonly facts: number;
  private readonly multiply: (rows: number, count: number, sums: number) => void;

  /**
   * @param rowOrder where an input stands in the rows that are given; in their order where there is none.
   */
  constructor(
    private readonly kernel: Kernel,
    model: Model,
    name: string,
    rowOrder?: Int32Array,
  ) {
    const { shape, values } = tensorOf(model, `${name}.weight`);
    const [outputs, inputs] = shape as [number, number];
    this.inputs = inputs;
    this.outputs = outputs;
    this.paddedOutputs = roundUp(outputs, LANES);
    this.facts = this.keptFacts(model, name);
    const weights = values as Int8Array | Int16Array;
    const place = (input: number): number => rowOrder?.[input] ?? input;
    const shifts =
      weights instanceof Int8Array ? numbersOf(model, `${name}.weight_shift`) : new Array<number>(inputs).fill(0);
    const isWide = numbersOf(model, `${name}.input_limit`).some((limit) => limit > LARGEST_SHORT);
    this.multiply = isWide
      ? this.wideProduct(weights, shifts, place)
      : this.product(weights instanceof Int8Array ? byShift(weights, shifts) : inPlanes(weights, inputs), place);
  }

  /** Applies the layer to at most `ROWS_AT_ONCE` rows of 32-bit integers; all addresses are of the kernel's memory. */
  apply(rows: number, count: number, results: number): void {
    this.kernel.scoped(() => {
      const sums = this.kernel.allocate(8 * roundUp(count, ROWS_TOGETHER) * this.paddedOutputs);
      this.multiply(rows, count, sums);
      this.kernel.loops.requantize(sums, count, this.outputs, this.paddedOutputs, this.facts, results);
    });
  }

  private keptFacts(model: Model, name: string): number {
    const at = this.kernel.allocate(BYTES_OF_FACTS * this.outputs);
    const facts = this.kernel.integers(at, (BYTES_OF_FACTS / 4) * this.outputs);
    const biases = this.kernel.longs(at, (BYTES_OF_FACTS / 8) * this.outputs);
    numbersOf(model, `${name}.bias`).forEach((bias, output) => {
      biases[4 * output] = BigInt(bias);
    });
    ["multiplier", "negative_multiplier", "shift", "minimum", "maximum"].forEach((fact, place) => {
      numbersOf(model, `${name}.${fact}`).forEach((value, output) => {
        facts[8 * output + 2 + place] = value;
      });
    });
    return at;
  }

  private product(columns: Column[], place: (input: number) => number): (rows: number, count: number, sums: number) => void {
    const { kernel, inputs, outputs, paddedOutputs } = this;
    const segments: Column[][] = [];
    for (const column of columns) {
      const last = segments.at(-1);
      if (last !== undefined && last[0]!.shift === column.shift && last.length < INPUTS_OF_SEGMENT) last.push(column);
      else segments.push([column]);
    }
    const padded = segments.flatMap((segment) => [...segment, ...new Array<undefined>(segment.length % 2)]);
    const length = padded.length;
    const order = kernel.keep(padded.map((column) => (column === undefined ? -1 : place(column.input))));
    const table = kernel.keep(segments.flatMap((segment) => [roundUp(segment.length, 2) / 2, segment[0]!.shift]));
    const at = kernel.allocate(2 * paddedOutputs * length);
    const kept = kernel.shorts(at, paddedOutputs * length);
    let first = 0;
    for (const segment of segments) {
      const { weights } = segment[0]!;
      const from = Int32Array.from(segment, ({ input }) => input);
      for (let output = 0; output < outputs; output++) {
        const to = (output >> 3) * LANES * length + 2 * (output & 7);
        for (let index = 0; index < from.length; index++) {
          const place = first + index;
          kept[to + (place >> 1) * 2 * LANES + (place & 1)] = weights[output * inputs + from[index]!]!;
        }
      }
      first += roundUp(segment.length, 2);
    }
    return (rows, count, sums) => {
      const packed = kernel.allocate(2 * length * roundUp(count, ROWS_TOGETHER));
      for (let row = 0; row < count; row++) {
        kernel.loops.pack(rows + 4 * inputs * row, order, length, packed + 2 * length * row);
      }
      kernel.loops.multiply(packed, 2 * length, count, at, paddedOutputs, table, segments.length, sums);
    };
  }

  private wideProduct(
    weights: Int8Array | Int16Array,
    shifts: readonly number[],
    place: (input: number) => number,
  ): (rows: number, count: number, sums: number) => void {
    const { kernel, inputs, outputs, paddedOutputs } = this;
    const ordered = new Int32Array(outputs * inputs);
    for (let output = 0; output < outputs; output++) {
      for (let input = 0; input < inputs; input++) {
        ordered[output * inputs + place(input)] = weights[output * inputs + input]! << shifts[input]!;
      }
    }
    const at = kernel.keep(ordered);
    return (rows, count, sums) => kernel.loops.multiplyWide(rows, inputs, count, at, outputs, paddedOutputs, sums);
  }
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}

function byShift(weights: Int8Array, shifts: readonly number[]): Column[] {
  const order = shifts.map((_, input) => input).sort((a, b) => shifts[a]! - shifts[b]! || a - b);
  return order.map((input) => ({ input, weights, shift: shifts[input]! }));
}

function inPlanes(weights: Int16Array, inputs: number): Column[] {
  const high = weights.map((weight) => (weight + 128) >> 8);
  const low = weights.map((weight, index) => weight - 256 * high[index]!);
  const every = Array.from({ length: inputs }, (_, input) => input);
  return [
    ...every.map((input) => ({ input, weights: high, shift: 8 })),
    ...every.map((input) => ({ input, weights: low, shift: 0 })),
  ];
}
