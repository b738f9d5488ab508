// From latents to samples: the synthesis transform, run by ONNX Runtime. docs/format.md, "Operations of the transforms".

import type { InferenceSession, Tensor as OrtTensor, TypedTensor } from "onnxruntime-web";

import type { Header } from "./container.js";
import { QUALITY_STEPS } from "./container.js";
import type { Latents } from "./integer_path.js";
import type { Model } from "./model.js";
import { tensorOf } from "./model.js";
import type { Tile } from "./tiles.js";
import { tiles } from "./tiles.js";

/** Pixels a side of a latent. */
export const LATENT_STRIDE = 16;
const VALUE_STEPS = 64;
const POSITIONS_AT_ONCE = 2 ** 20 / LATENT_STRIDE ** 2;

/** What of ONNX Runtime is needed, so that the caller chooses its build. */
export interface Runtime {
  /** Begins to fetch what it needs. */
  prepare(): Promise<unknown>;
  createSession(model: Uint8Array): Promise<InferenceSession>;
  tensor(values: Float32Array, shape: readonly number[]): TypedTensor<"float32">;
}

/** Samples of a picture, row by row, the channels of a pixel together. */
export type Samples = Uint8Array<ArrayBuffer> | Uint16Array<ArrayBuffer>;

/** The synthesis transform of one model. */
export class Synthesis {
  private constructor(
    private readonly runtime: Runtime,
    private readonly session: InferenceSession,
    private readonly model: Model,
  ) {}

  static async create(model: Model, runtime: Runtime): Promise<Synthesis> {
    return new Synthesis(runtime, await runtime.createSession(model.synthesis), model);
  }

  /** The samples of a picture, [height width 1 or 3 channels]; `onTile` is told the share that is done. */
  async render(latents: Latents, header: Header, onTile: (share: number) => void = () => undefined): Promise<Samples> {
    const { width, height, colourChannels, bitDepth } = header;
    const length = width * height * colourChannels;
    const samples = bitDepth === 8 ? new Uint8Array(length) : new Uint16Array(length);
    const given = this.givenOfQuality(header.quality / QUALITY_STEPS);
    const cut = tiles(latents.rows, latents.columns, this.model.manifest.halo, POSITIONS_AT_ONCE);
    for (const [index, tile] of cut.entries()) {
      const results = await this.session.run({ ...given, x: this.values(latents, tile) });
      const made = results[this.session.outputNames[0]!]! as TypedTensor<"float32">;
      const planes = (await made.getData()) as Float32Array;
      keep(planes, made.dims, tile, samples, header);
      made.dispose();
      onTile((index + 1) / cut.length);
    }
    return samples;
  }

  /** Factors of channels, and the quality as a plane has it. */
  private givenOfQuality(quality: number): Record<string, OrtTensor> {
    const given: Record<string, OrtTensor> = {};
    for (const [name, tensor] of Object.entries(this.model.manifest.factors)) {
      const { shape, values } = tensorOf(this.model, tensor);
      const [anchors, channels] = shape as [number, number];
      const place = (quality - 1) * ((anchors - 1) / 99);
      const lower = Math.min(Math.floor(place), anchors - 2);
      const logarithms = values as Float32Array;
      const factors = Float32Array.from({ length: channels }, (_, channel) => {
        const at = logarithms[lower * channels + channel]!;
        return Math.exp(at + (place - lower) * (logarithms[(lower + 1) * channels + channel]! - at));
      });
      given[name] = this.runtime.tensor(factors, [1, channels, 1, 1]);
    }
    if (this.model.manifest.sees_quality) {
      given["quality"] = this.runtime.tensor(Float32Array.of((quality - 50.5) / 49.5), []);
    }
    return given;
  }

  private values(latents: Latents, { rows, columns }: Tile): TypedTensor<"float32"> {
    const [height, width] = [rows.last - rows.first, columns.last - columns.first];
    const source = latents.values ?? latents.symbols;
    const steps = latents.values === null ? 1 : VALUE_STEPS;
    const values = new Float32Array(latents.channels * height * width);
    let to = 0;
    for (let channel = 0; channel < latents.channels; channel++) {
      for (let row = rows.first; row < rows.last; row++) {
        const from = (channel * latents.rows + row) * latents.columns;
        for (let column = columns.first; column < columns.last; column++) values[to++] = source[from + column]! / steps;
      }
    }
    return this.runtime.tensor(values, [1, latents.channels, height, width]);
  }
}

/** Crops, clamps and rounds what a tile gives, halves to even; one channel is the mean of three. */
function keep(planes: Float32Array, shape: readonly number[], { rows, columns }: Tile, samples: Samples, header: Header): void {
  const [height, width] = [shape[2]!, shape[3]!];
  const largest = 2 ** header.bitDepth - 1;
  const channels = header.colourChannels;
  const bottom = Math.min(header.height, LATENT_STRIDE * rows.stop);
  const right = Math.min(header.width, LATENT_STRIDE * columns.stop);
  for (let row = LATENT_STRIDE * rows.start; row < bottom; row++) {
    const left = LATENT_STRIDE * columns.start;
    let from = (row - LATENT_STRIDE * rows.first) * width + left - LATENT_STRIDE * columns.first;
    let to = (row * header.width + left) * channels;
    for (let column = left; column < right; column++, from++) {
      if (channels === 1) {
        const sum = planes[from]! + planes[from + height * width]! + planes[from + 2 * height * width]!;
        samples[to++] = rounded((sum / 3) * largest, largest);
      } else {
        samples[to++] = rounded(planes[from]! * largest, largest);
        samples[to++] = rounded(planes[from + height * width]! * largest, largest);
        samples[to++] = rounded(planes[from + 2 * height * width]! * largest, largest);
      }
    }
  }
}

/** What is not a number becomes 0. */
function rounded(level: number, largest: number): number {
  if (!(level > 0)) return 0;
  if (level >= largest) return largest;
  const below = Math.floor(level);
  const rest = level - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
}
