// From the bytes of a file to a picture: the decoder on one page.
//
//     bytes --container--> "side" --hyper-latents--> side features --+
//                          "latent" ------------- integer path ------+--> latents, checked --synthesis--> samples
//                          "alpha", or "pixels" of a file without a model --picture files--> samples

import { crc32, hexadecimal } from "./crc32.js";
import type { Container, Header, Section } from "./container.js";
import { MAXIMUM_PIXELS, SLICE_SIDE, isLossless, readContainer, splitSlices } from "./container.js";
import { TmixError, corrupted } from "./errors.js";
import type { Latents, Part } from "./integer_path.js";
import { HYPER_STRIDE, IntegerPath, checkSymbols, symbolChecksum, symbolsOf } from "./integer_path.js";
import type { ReadFile } from "./model.js";
import { readModel } from "./model.js";
import { readSamples } from "./sample_files.js";
import type { Runtime, Samples } from "./synthesis.js";
import { LATENT_STRIDE, Synthesis } from "./synthesis.js";

const PICTURE_MULTIPLE = LATENT_STRIDE * HYPER_STRIDE;

/** Where the bits of the latents go. */
export interface BitMap {
  readonly rows: number;
  readonly columns: number;
  /** Bits that a position, 16 x 16 pixels, takes, [rows columns]. */
  readonly bits: Float32Array<ArrayBuffer>;
}

/** What the parts of a decoding took, in milliseconds. */
export interface Durations {
  readonly model: number;
  readonly symbols: number;
  readonly synthesis: number;
  readonly total: number;
}

export interface Picture {
  readonly header: Header;
  readonly sections: readonly Section[];
  readonly fileBytes: number;
  /** Colours, [height width 1 or 3 channels] of 8 or 16 bits. */
  readonly samples: Samples;
  /** [height width]; null for an opaque picture. */
  readonly alpha: Samples | null;
  readonly iccProfile: Uint8Array;
  readonly chunks: Uint8Array;
  /** Null without a model. */
  readonly modelName: string | null;
  readonly bitMap: BitMap | null;
  readonly durations: Durations;
}

export interface DecodeOptions {
  /** Of the picture; it is refused if its file claims more. */
  readonly maximumPixels?: number;
  /** Told the share that is done, 0 to 1. */
  readonly onProgress?: (share: number) => void;
}

interface LoadedModel {
  readonly name: string;
  readonly identifier: number;
  readonly integerPath: IntegerPath;
  readonly synthesis: Synthesis;
}

/** Decodes files, one after the other; a model is loaded once. */
export class Decoder {
  private readonly models = new Map<string, Promise<LoadedModel>>();

  /** @param read reads the files of exported models. */
  constructor(
    private readonly read: ReadFile,
    private readonly runtime: Runtime,
  ) {}

  /** The picture of a file; a `TmixError` says in one line why there is none. */
  async decode(data: Uint8Array, options: DecodeOptions = {}): Promise<Picture> {
    const { maximumPixels = MAXIMUM_PIXELS, onProgress = () => undefined } = options;
    const start = performance.now();
    const container = await readContainer(data);
    const { header } = container;
    if (header.width * header.height > maximumPixels) {
      throw new TmixError(
        "too-large",
        `the picture must have at most ${maximumPixels} pixels, the file claims ${header.width} x ${header.height}: open it with 'trimix decompress'`,
      );
    }
    const decoded = isLossless(header)
      ? await decodeLossless(container)
      : await this.decodeWithModel(container, onProgress);
    const alpha = header.hasAlpha ? await readSamples(container.alpha, header, 1, "alpha") : null;
    const { durations, ...rest } = decoded;
    return {
      header,
      sections: container.sections,
      fileBytes: data.length,
      alpha,
      iccProfile: container.iccProfile,
      chunks: container.chunks,
      ...rest,
      durations: { ...durations, total: performance.now() - start },
    };
  }

  private async decodeWithModel(container: Container, onProgress: (share: number) => void): Promise<Decoded> {
    const { header } = container;
    const start = performance.now();
    const model = await this.model(header.modelHash);
    if (model.identifier !== header.modelIdentifier) {
      throw corrupted(`a file of ${model.name} must name the architecture ${model.identifier}, found ${header.modelIdentifier}`);
    }
    const loaded = performance.now();
    const latents = decodeSymbols(container, model.integerPath, (share) => onProgress(share / 2));
    const read = performance.now();
    const samples = await model.synthesis.render(latents, header, (share) => onProgress((1 + share) / 2));
    return {
      samples,
      modelName: model.name,
      bitMap: { rows: latents.rows, columns: latents.columns, bits: new Float32Array(latents.information) },
      durations: { model: loaded - start, symbols: read - loaded, synthesis: performance.now() - read },
    };
  }

  private model(hash: string): Promise<LoadedModel> {
    let found = this.models.get(hash);
    if (found === undefined) {
      found = this.load(hash);
      this.models.set(hash, found);
      // A model that could not be fetched may be there the next time.
      found.catch(() => this.models.delete(hash));
    }
    return found;
  }

  private async load(hash: string): Promise<LoadedModel> {
    const [model] = await Promise.all([readModel(hash, this.read), this.runtime.prepare()]);
    const [integerPath, synthesis] = await Promise.all([IntegerPath.create(model), Synthesis.create(model, this.runtime)]);
    return { name: model.manifest.name, identifier: model.manifest.identifier, integerPath, synthesis };
  }
}

interface Decoded {
  readonly samples: Samples;
  readonly modelName: string | null;
  readonly bitMap: BitMap | null;
  readonly durations: Omit<Durations, "total">;
}

/** All latents of a file, checked. */
export function decodeSymbols(container: Container, path: IntegerPath, onProgress: (share: number) => void): Latents {
  const { header } = container;
  const [rows, columns] = [header.height, header.width].map((size) => Math.ceil(size / PICTURE_MULTIPLE)) as [number, number];
  const hyper = path.hyperLatents(container.side, rows, columns);
  const ofHyper = symbolChecksum(hyper.symbols);
  const latents = path.emptyLatents(hyper);
  if (!header.isSliced) {
    path.decodePart(container.latent, hyper, header.quality, { top: 0, left: 0, height: latents.rows, width: latents.columns }, latents);
    checkSymbols(symbolChecksum(latents.symbols, ofHyper), header.symbolChecksum);
    return latents;
  }
  checkSymbols(ofHyper, header.symbolChecksum);
  const parts = slicesOf(latents.rows, latents.columns);
  for (const [index, { stream, symbolChecksum: wanted }] of splitSlices(container.latent, parts.length).entries()) {
    const part = parts[index]!;
    path.decodePart(stream, hyper, header.quality, part, latents);
    checkSymbols(symbolChecksum(symbolsOf(latents, part)), wanted);
    onProgress((index + 1) / parts.length);
  }
  return latents;
}

function slicesOf(rows: number, columns: number): Part[] {
  const found: Part[] = [];
  for (let top = 0; top < rows; top += SLICE_SIDE) {
    for (let left = 0; left < columns; left += SLICE_SIDE) {
      found.push({ top, left, height: Math.min(SLICE_SIDE, rows - top), width: Math.min(SLICE_SIDE, columns - left) });
    }
  }
  return found;
}

async function decodeLossless({ header, pixels }: Container): Promise<Decoded> {
  const start = performance.now();
  const samples = await readSamples(pixels, header, header.colourChannels, "pixels");
  const found = crc32(new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength));
  if (found !== header.symbolChecksum) {
    throw corrupted(`the samples must have the checksum ${hexadecimal(header.symbolChecksum)}, found ${hexadecimal(found)}`);
  }
  return { samples, modelName: null, bitMap: null, durations: { model: 0, symbols: performance.now() - start, synthesis: 0 } };
}
