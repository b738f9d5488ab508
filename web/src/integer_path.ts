// From the bytes of a file to its symbols: hyper-latents, side features, passes. docs/format.md, "Payload" and "The
// integer path". Everything here is integers, so every decoder finds the same symbols.
//
//     "side" --tables--> hyper-latents --hyper_synthesis--> side features --+
//     "latent" --mixtures--> latents of a pass --contexts--> features ------+--head--> mixtures of the next positions

import { crc32, hexadecimal } from "./crc32.js";
import { TmixError } from "./errors.js";
import { Kernel } from "./kernel.js";
import { IntegerLayer, ROWS_AT_ONCE } from "./layers.js";
import type { Manifest, Model, Passes } from "./model.js";
import { numbersOf, tensorOf } from "./model.js";
import { RangeDecoder } from "./range_decoder.js";

const ACTIVATION_LIMIT = 2 ** 15 - 1;
const VALUE_LIMIT = 2 ** 19;
/** Steps of a mean, or of a value around it, in one step of the quantizer. */
const VALUE_STEPS = 64;
const LINEAR_SCALE_STEPS = 4096;
/** Latents a side of a hyper-latent. */
export const HYPER_STRIDE = 4;

/** A part of the latents, in positions. */
export interface Part {
  readonly top: number;
  readonly left: number;
  readonly height: number;
  readonly width: number;
}

export interface HyperLatents {
  readonly rows: number;
  readonly columns: number;
  /** [channels rows columns] */
  readonly symbols: Int16Array;
}

/** All latents of a picture, filled part by part. */
export interface Latents {
  readonly rows: number;
  readonly columns: number;
  readonly channels: number;
  /** [channels rows columns] */
  readonly symbols: Int16Array;
  /** In steps of 1/64, [channels rows columns]; null where the symbols are the values. */
  readonly values: Int32Array | null;
  /** Bits of the file that a position takes, [rows columns]. */
  readonly information: Float32Array;
}

/** Refuses symbols that the encoder has not had. */
export function checkSymbols(found: number, wanted: number): void {
  if (found !== wanted) {
    throw new TmixError(
      "desynchronized",
      `the decoded symbols must have the checksum ${hexadecimal(wanted)}, found ${hexadecimal(found)}: the file is damaged, fetch it again`,
    );
  }
}

/** CRC-32 of symbols as 16 bits, the lower byte first, which is how all machines of today have them. */
export function symbolChecksum(symbols: Int16Array, before = 0): number {
  return crc32(new Uint8Array(symbols.buffer, symbols.byteOffset, symbols.byteLength), before);
}

/** The symbols of a part of the latents, [channels height width]. */
export function symbolsOf(latents: Latents, part: Part): Int16Array {
  const found = new Int16Array(latents.channels * part.height * part.width);
  let to = 0;
  for (let channel = 0; channel < latents.channels; channel++) {
    for (let row = 0; row < part.height; row++) {
      const from = (channel * latents.rows + part.top + row) * latents.columns + part.left;
      found.set(latents.symbols.subarray(from, from + part.width), to);
      to += part.width;
    }
  }
  return found;
}

interface Convolution {
  readonly layer: IntegerLayer;
  readonly kernel: number;
  readonly upscale: number;
}

interface PreparedContext {
  readonly layer: IntegerLayer;
  readonly taps: readonly (readonly [number, number])[];
}

/** Positions that are coded together, in raster order; `context` is a number of `contexts`, null for none. */
interface Pass {
  readonly rows: readonly number[];
  readonly columns: readonly number[];
  readonly context: number | null;
}

/** The integer path of one model. */
export class IntegerPath {
  private readonly convolutions: readonly Convolution[];
  private readonly contexts: readonly PreparedContext[];
  private readonly head: readonly IntegerLayer[];
  private readonly hyperMargin: number;
  private readonly margin: number;
  private readonly edges: number;
  private readonly edgeColumns: number;
  private readonly lengths: readonly number[];
  private readonly offsets: readonly number[];
  private readonly medians: readonly number[] | null;
  private readonly families: number;
  private readonly tables: number;
  private readonly inverses: number;
  private readonly exponentials: number;
  private readonly thresholds: number;
  private readonly components: number;
  private readonly numbersOfLatent: number;
  private readonly manifest: Manifest;

  private constructor(
    private readonly kernel: Kernel,
    model: Model,
  ) {
    const { manifest } = model;
    this.manifest = manifest;
    this.convolutions = manifest.hyper_synthesis.operations.map(({ layer, kernel: side, upscale }) => ({
      layer: new IntegerLayer(kernel, model, layer, convolutionOrder(model, layer, side)),
      kernel: side,
      upscale,
    }));
    let resolution = 1;
    let reach = 0;
    for (const one of this.convolutions) {
      reach += Math.floor(one.kernel / 2) / resolution;
      resolution *= one.upscale;
    }
    this.hyperMargin = Math.ceil(reach);
    this.contexts = manifest.contexts.map(({ layer, taps }) => ({ layer: new IntegerLayer(kernel, model, layer), taps }));
    this.margin = Math.max(0, ...manifest.contexts.flatMap(({ taps }) => taps.flat().map(Math.abs)));
    this.head = manifest.head.map((name) => new IntegerLayer(kernel, model, name));
    const cdf = tensorOf(model, "hyper_table.cdf");
    this.edgeColumns = cdf.shape[1]!;
    this.edges = kernel.keep(cdf.values as Int32Array);
    this.lengths = numbersOf(model, "hyper_table.lengths");
    this.offsets = numbersOf(model, "hyper_table.offsets");
    this.medians = manifest.hyper_synthesis.has_medians ? numbersOf(model, "hyper_medians") : null;
    const { families, components, two_level, zero_mean } = manifest.mixture;
    this.components = families.length * components;
    this.families = kernel.keep(families.flatMap((family) => new Array<number>(components).fill(family)));
    this.tables = kernel.keep(tensorOf(model, "coder.cdf").values as Int32Array);
    this.inverses = kernel.keep(tensorOf(model, "coder.inverse_scales").values as Int32Array);
    this.exponentials = kernel.keep(tensorOf(model, "coder.exponentials").values as Int32Array);
    this.thresholds = kernel.keep(tensorOf(model, "coder.scale_thresholds").values as Int32Array);
    this.numbersOfLatent =
      (two_level ? this.groups : 0) +
      (this.hasLogits ? this.components : 0) +
      (zero_mean ? 0 : this.components) +
      this.components;
  }

  static async create(model: Model): Promise<IntegerPath> {
    return new IntegerPath(await Kernel.create(), model);
  }

  private get hasLogits(): boolean {
    return this.components > 1 || this.manifest.mixture.has_lone_logit;
  }

  /** Families with logits of their own. */
  private get groups(): number {
    const { families, components, two_level } = this.manifest.mixture;
    return two_level && families.length > 1 && components > 1 ? families.length : 0;
  }

  /** The hyper-latents of the section `side`. */
  hyperLatents(side: Uint8Array, rows: number, columns: number): HyperLatents {
    const { kernel, manifest } = this;
    const count = rows * columns;
    const symbols = new Int16Array(manifest.hyper_channels * count);
    kernel.scoped(() => {
      const decoder = new RangeDecoder(kernel, side);
      const found = kernel.allocate(4 * count);
      for (let channel = 0; channel < manifest.hyper_channels; channel++) {
        const edges = this.edges + 4 * this.edgeColumns * channel;
        decoder.decodeFactorized(found, count, edges, this.lengths[channel]!, this.offsets[channel]!);
        symbols.set(kernel.integers(found, count), channel * count);
      }
      decoder.finish();
    });
    return { rows, columns, symbols };
  }

  /** Room for the latents that belong to some hyper-latents. */
  emptyLatents(hyper: HyperLatents): Latents {
    const [rows, columns, channels] = [HYPER_STRIDE * hyper.rows, HYPER_STRIDE * hyper.columns, this.manifest.latent_channels];
    return {
      rows,
      columns,
      channels,
      symbols: new Int16Array(channels * rows * columns),
      values: this.manifest.mixture.around_mean ? new Int32Array(channels * rows * columns) : null,
      information: new Float32Array(rows * columns),
    };
  }

  /** Decodes a stream into a part of the latents: all of them, or a slice. */
  decodePart(stream: Uint8Array, hyper: HyperLatents, quality: number, part: Part, latents: Latents): void {
    this.kernel.scoped(() => {
      const side = this.sideFeatures(hyper, quality, part);
      const decoder = new RangeDecoder(this.kernel, stream);
      this.decodePasses(decoder, side, part, latents);
      decoder.finish();
    });
  }

  /** The address of the side features of a part, [height width features]. */
  private sideFeatures(hyper: HyperLatents, quality: number, part: Part): number {
    const { kernel, manifest } = this;
    const first = (position: number): number => Math.max(0, Math.floor(position / HYPER_STRIDE) - this.hyperMargin);
    const end = (stop: number, size: number): number => Math.min(size, Math.ceil(stop / HYPER_STRIDE) + this.hyperMargin);
    const [top, left] = [first(part.top), first(part.left)];
    let height = end(part.top + part.height, hyper.rows) - top;
    let width = end(part.left + part.width, hyper.columns) - left;
    const { sees_quality: seesQuality } = manifest.hyper_synthesis;
    let channels = manifest.hyper_channels + (seesQuality ? 1 : 0);
    // The plane with the quality: 4 q - 202 of q = quality / 512, rounded half up.
    const plane = Math.floor((4 * quality + 256) / 512) - 202;
    let at = kernel.allocate(4 * height * width * channels);
    const given = kernel.integers(at, height * width * channels);
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        const to = (row * width + column) * channels;
        for (let channel = 0; channel < manifest.hyper_channels; channel++) {
          const symbol = hyper.symbols[(channel * hyper.rows + top + row) * hyper.columns + left + column]!;
          const value = this.medians === null ? symbol : VALUE_STEPS * symbol + this.medians[channel]!;
          given[to + channel] = Math.min(Math.max(value, -ACTIVATION_LIMIT), ACTIVATION_LIMIT);
        }
        if (seesQuality) given[to + manifest.hyper_channels] = plane;
      }
    }
    for (const convolution of this.convolutions) {
      at = this.convolved(convolution, at, height, width, channels);
      height *= convolution.upscale;
      width *= convolution.upscale;
      channels = convolution.layer.outputs / convolution.upscale ** 2;
    }
    const kept = kernel.allocate(4 * part.height * part.width * channels);
    for (let row = 0; row < part.height; row++) {
      const from = ((part.top - HYPER_STRIDE * top + row) * width + part.left - HYPER_STRIDE * left) * channels;
      const memory = kernel.integers(0, kept / 4 + part.height * part.width * channels);
      memory.copyWithin(kept / 4 + row * part.width * channels, at / 4 + from, at / 4 + from + part.width * channels);
    }
    return kept;
  }

  /** The address of what a convolution makes of [height width channels], after its depth to space. */
  private convolved({ layer, kernel: side, upscale }: Convolution, from: number, height: number, width: number, channels: number): number {
    const { kernel } = this;
    const depth = layer.outputs / upscale ** 2;
    const made = kernel.allocate(4 * layer.outputs * height * width);
    const margin = Math.floor(side / 2);
    kernel.scoped(() => {
      const rows = kernel.allocate(4 * layer.inputs * ROWS_AT_ONCE);
      const results = kernel.allocate(4 * layer.outputs * ROWS_AT_ONCE);
      for (let first = 0; first < height * width; first += ROWS_AT_ONCE) {
        const count = Math.min(ROWS_AT_ONCE, height * width - first);
        const unfolded = kernel.integers(rows, layer.inputs * count).fill(0);
        const given = kernel.integers(from, height * width * channels);
        for (let index = 0; index < count; index++) {
          const row = Math.floor((first + index) / width);
          const column = (first + index) % width;
          const left = Math.max(0, column - margin);
          const right = Math.min(width, column + margin + 1);
          for (let down = 0; down < side; down++) {
            const seen = row + down - margin;
            if (seen < 0 || seen >= height) continue;
            const to = index * layer.inputs + (down * side + left - column + margin) * channels;
            unfolded.set(given.subarray((seen * width + left) * channels, (seen * width + right) * channels), to);
          }
        }
        layer.apply(rows, count, results);
        const found = kernel.integers(results, layer.outputs * count);
        const into = kernel.integers(made, layer.outputs * height * width);
        for (let index = 0; index < count; index++) {
          const row = Math.floor((first + index) / width);
          const column = (first + index) % width;
          let output = index * layer.outputs;
          for (let channel = 0; channel < depth; channel++) {
            for (let down = 0; down < upscale; down++) {
              const to = ((row * upscale + down) * width + column) * upscale * depth + channel;
              for (let right = 0; right < upscale; right++) into[to + right * depth] = found[output++]!;
            }
          }
        }
      }
    });
    return made;
  }

  private decodePasses(decoder: RangeDecoder, side: number, part: Part, latents: Latents): void {
    const { kernel, manifest, margin, components } = this;
    const channels = manifest.latent_channels;
    const paddedWidth = part.width + 2 * margin;
    const paddedLength = (part.height + 2 * margin) * paddedWidth * channels;
    const features = this.contexts[0]?.layer.outputs ?? 0;
    const sideChannels = (this.head[0]?.inputs ?? this.numbersOfLatent * channels) - features;
    const widest = Math.max(sideChannels + features, ...this.head.map((layer) => layer.outputs));
    const padded = kernel.allocate(4 * paddedLength);
    kernel.integers(padded, paddedLength).fill(0);
    const allocated = [
      ...this.contexts.map(({ layer }) => layer.inputs),
      features,
      widest,
      widest,
      channels * components,
      channels * components,
      channels * components,
      channels,
      channels,
    ].map((length) => kernel.allocate(4 * length * ROWS_AT_ONCE));
    const taps = allocated.slice(0, this.contexts.length);
    const [found, one, other, weights, means, scales, centres, symbols] = allocated.slice(this.contexts.length) as [
      number, number, number, number, number, number, number, number,
    ];
    const information = kernel.allocate(4 * ROWS_AT_ONCE);
    const scratch = kernel.allocate(4 * Math.max(1, this.groups));
    const isAroundMean = manifest.mixture.around_mean;
    for (const pass of passesOf(manifest.passes, part.height, part.width)) {
      for (let first = 0; first < pass.rows.length; first += ROWS_AT_ONCE) {
        const count = Math.min(ROWS_AT_ONCE, pass.rows.length - first);
        const context = pass.context === null ? undefined : this.contexts[pass.context];
        if (context !== undefined) {
          const rows = taps[pass.context!]!;
          this.gather(context, rows, padded, paddedLength, paddedWidth, pass, first, count);
          context.layer.apply(rows, count, found);
        }
        // The memory has grown to its size by now only if `apply` did not need more; views are made after it.
        this.join(one, side, sideChannels, context === undefined ? null : found, features, part, pass, first, count);
        let [from, to] = [one, other];
        for (const layer of this.head) {
          layer.apply(from, count, to);
          [from, to] = [to, from];
        }
        this.readMixtures(from, count, scratch, weights, means, scales, centres);
        decoder.decodeMixture((state) =>
          kernel.loops.decodeMixture(
            symbols, count, channels, components, this.families, this.tables, this.inverses, weights, means, scales, state,
            information,
          ),
        );
        const taken = kernel.integers(symbols, count * channels);
        const around = kernel.integers(centres, count * channels);
        const values = kernel.integers(padded, paddedLength);
        const bits = kernel.floats(information, count);
        const plane = latents.rows * latents.columns;
        for (let index = 0; index < count; index++) {
          const [row, column] = [pass.rows[first + index]!, pass.columns[first + index]!];
          const place = (part.top + row) * latents.columns + part.left + column;
          latents.information[place] = bits[index]!;
          const at = ((row + margin) * paddedWidth + column + margin) * channels;
          for (let channel = 0; channel < channels; channel++) {
            const symbol = taken[index * channels + channel]!;
            latents.symbols[channel * plane + place] = symbol;
            let value = symbol;
            if (isAroundMean) {
              value = VALUE_STEPS * symbol + around[index * channels + channel]!;
              value = Math.min(Math.max(value, -VALUE_LIMIT), VALUE_LIMIT);
              latents.values![channel * plane + place] = value;
            }
            values[at + channel] = value;
          }
        }
      }
    }
  }

  /** What the taps of a context see, [positions tap channel]. */
  private gather(
    { layer, taps }: PreparedContext, rows: number, padded: number, paddedLength: number, paddedWidth: number, pass: Pass,
    first: number, count: number,
  ): void {
    const channels = this.manifest.latent_channels;
    const values = this.kernel.integers(padded, paddedLength);
    const gathered = this.kernel.integers(rows, layer.inputs * count);
    let to = 0;
    for (let index = first; index < first + count; index++) {
      for (const [down, right] of taps) {
        const row = pass.rows[index]! + this.margin + down;
        const from = (row * paddedWidth + pass.columns[index]! + this.margin + right) * channels;
        gathered.set(values.subarray(from, from + channels), to);
        to += channels;
      }
    }
  }

  /** Side features, then context features, of every position. */
  private join(
    rows: number, side: number, sideChannels: number, found: number | null, features: number, part: Part, pass: Pass,
    first: number, count: number,
  ): void {
    const length = sideChannels + features;
    const joined = this.kernel.integers(rows, length * count);
    const sides = this.kernel.integers(side, part.height * part.width * sideChannels);
    const contexts = found === null ? null : this.kernel.integers(found, features * count);
    for (let index = 0; index < count; index++) {
      const from = (pass.rows[first + index]! * part.width + pass.columns[first + index]!) * sideChannels;
      joined.set(sides.subarray(from, from + sideChannels), index * length);
      const rest = joined.subarray(index * length + sideChannels, (index + 1) * length);
      if (contexts === null) rest.fill(0);
      else rest.set(contexts.subarray(index * features, (index + 1) * features));
    }
  }

  private readMixtures(
    numbers: number, count: number, scratch: number, weights: number, means: number, scales: number, centres: number,
  ): void {
    const { mixture, latent_channels: channels } = this.manifest;
    this.kernel.loops.mixtureParameters(
      numbers, count, channels, this.components, this.groups, Number(this.hasLogits), Number(!mixture.zero_mean),
      Number(mixture.around_mean), ["log2", "bounded", "absolute"].indexOf(mixture.scale_form),
      Math.round(mixture.scale_minimum * LINEAR_SCALE_STEPS), this.exponentials, this.thresholds, scratch, weights, means,
      scales, centres,
    );
  }
}

/** Where an input of a convolution, ordered channel, row, column, stands in rows ordered row, column, channel. */
function convolutionOrder(model: Model, layer: string, side: number): Int32Array {
  const inputs = tensorOf(model, `${layer}.weight`).shape[1]!;
  const channels = inputs / side ** 2;
  return Int32Array.from({ length: inputs }, (_, input) => (input % side ** 2) * channels + Math.floor(input / side ** 2));
}

/** Steps of 4, of 2 and of 1: which pass of an interlaced schedule a position belongs to. */
function interlacedPass(row: number, column: number): number {
  if ((row + column) % 2 === 1) return 4;
  if (row % 2 === 1) return 3;
  if ((row + column) % 4 === 2) return 2;
  return row % 4 === 2 ? 1 : 0;
}

function passNumber(passes: Passes, row: number, column: number): number {
  switch (passes) {
    case "one_pass":
      return 0;
    case "checkerboard":
      return (row + column) % 2;
    case "interlaced":
      return interlacedPass(row, column);
    case "wavefront":
      return column + 3 * row;
  }
}

function passesOf(passes: Passes, height: number, width: number): Pass[] {
  const found = new Map<number, { rows: number[]; columns: number[] }>();
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const number = passNumber(passes, row, column);
      let one = found.get(number);
      if (one === undefined) found.set(number, (one = { rows: [], columns: [] }));
      one.rows.push(row);
      one.columns.push(column);
    }
  }
  const context = (number: number): number | null => {
    if (passes === "wavefront") return 0;
    return number === 0 ? null : number - 1;
  };
  return [...found].sort(([a], [b]) => a - b).map(([number, one]) => ({ ...one, context: context(number) }));
}
