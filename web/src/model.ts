// An exported model: what `trimix export` writes, and what of it a decoder needs. docs/format.md, "Export".

import { crc32, hexadecimal } from "./crc32.js";
import { TmixError } from "./errors.js";

const EXPORT_FORMAT = "trimix-export-1";

export interface ModelFile {
  readonly name: string;
  readonly bytes: number;
  /** Eight hexadecimal digits. */
  readonly crc32: string;
}

export interface IntegerConvolution {
  readonly layer: string;
  readonly kernel: number;
  readonly upscale: number;
}

export interface Context {
  readonly layer: string;
  /** Row and column relative to the position. */
  readonly taps: readonly (readonly [number, number])[];
}

export interface Mixture {
  readonly families: readonly number[];
  readonly components: number;
  readonly has_lone_logit: boolean;
  readonly two_level: boolean;
  readonly zero_mean: boolean;
  readonly scale_form: "log2" | "bounded" | "absolute";
  readonly scale_minimum: number;
  readonly around_mean: boolean;
}

export type Passes = "one_pass" | "checkerboard" | "interlaced" | "wavefront";

/** The entries of the program that a decoder reads, with the names that docs/format.md has. */
export interface Manifest {
  readonly format: string;
  readonly name: string;
  readonly hash: string;
  readonly identifier: number;
  readonly integers: ModelFile;
  readonly synthesis: ModelFile;
  readonly latent_channels: number;
  readonly hyper_channels: number;
  readonly halo: number;
  readonly hyper_synthesis: {
    readonly sees_quality: boolean;
    readonly has_medians: boolean;
    readonly operations: readonly IntegerConvolution[];
  };
  readonly passes: Passes;
  readonly contexts: readonly Context[];
  readonly head: readonly string[];
  readonly mixture: Mixture;
  /** Input of the synthesis by name -> the tensor with its logarithms. */
  readonly factors: Readonly<Record<string, string>>;
  readonly sees_quality: boolean;
}

export type Values = Int8Array | Uint8Array | Int16Array | Int32Array | BigInt64Array | Float32Array;

export interface Tensor {
  readonly shape: readonly number[];
  readonly values: Values;
}

export interface Model {
  readonly manifest: Manifest;
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** An ONNX file. */
  readonly synthesis: Uint8Array;
}

/** Gives the bytes of a file, or null where there is none of that name. */
export type ReadFile = (name: string) => Promise<Uint8Array | null>;

/** Reads the model of a hash from a folder of exported models. */
export async function readModel(hash: string, read: ReadFile): Promise<Model> {
  const found = await read(`${hash}.json`);
  if (found === null) {
    throw new TmixError(
      "model",
      `the file needs the model with the hash ${hash}, found none here: export it with 'trimix export' and put it beside the others`,
    );
  }
  const manifest = parsed(found, hash);
  if (manifest.format !== EXPORT_FORMAT || manifest.hash !== hash) {
    throw new TmixError(
      "model",
      `the model ${hash} must be exported as ${EXPORT_FORMAT}, found ${manifest.format} of ${manifest.hash}: export it again`,
    );
  }
  const [integers, synthesis] = await Promise.all([
    checked(manifest.integers, read),
    checked(manifest.synthesis, read),
  ]);
  return { manifest, tensors: readTensors(integers), synthesis };
}

function parsed(bytes: Uint8Array, hash: string): Manifest {
  try {
    return JSON.parse(new TextDecoder().decode(bytes)) as Manifest;
  } catch {
    // Some servers send a page in place of what is missing.
    throw new TmixError("model", `the model ${hash} must be exported as JSON, found another file: export it with 'trimix export'`);
  }
}

async function checked(file: ModelFile, read: ReadFile): Promise<Uint8Array> {
  const bytes = await read(file.name);
  const found = bytes === null ? "none" : `${bytes.length} bytes of CRC-32 ${hexadecimal(crc32(bytes))}`;
  const wanted = `${file.bytes} bytes of CRC-32 ${file.crc32}`;
  if (bytes === null || found !== wanted) {
    throw new TmixError("model", `the file ${file.name} must have ${wanted}, found ${found}: export the model again`);
  }
  return bytes;
}

const KINDS: Readonly<Record<string, (buffer: ArrayBuffer) => Values>> = {
  I8: (buffer) => new Int8Array(buffer),
  U8: (buffer) => new Uint8Array(buffer),
  I16: (buffer) => new Int16Array(buffer),
  I32: (buffer) => new Int32Array(buffer),
  I64: (buffer) => new BigInt64Array(buffer),
  F32: (buffer) => new Float32Array(buffer),
};

/** The tensors of a safetensors file, each in a buffer of its own: 8 bytes length, JSON, numbers. */
export function readTensors(bytes: Uint8Array): Map<string, Tensor> {
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const start = 8 + length;
  const listed = JSON.parse(new TextDecoder().decode(bytes.subarray(8, start))) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const tensors = new Map<string, Tensor>();
  for (const [name, { dtype, shape, data_offsets }] of Object.entries(listed)) {
    if (name === "__metadata__") continue;
    const kind = KINDS[dtype];
    if (kind === undefined) {
      throw new TmixError("model", `${name} must be of a type that exported models have, found ${dtype}: export the model again`);
    }
    const copied = new Uint8Array(bytes.subarray(start + data_offsets[0], start + data_offsets[1]));
    tensors.set(name, { shape, values: kind(copied.buffer) });
  }
  return tensors;
}

/** A tensor that the program names. */
export function tensorOf(model: Model, name: string): Tensor {
  const tensor = model.tensors.get(name);
  if (tensor === undefined) {
    throw new TmixError("model", `the model must have the tensor ${name}, found none: export it again`);
  }
  return tensor;
}

/** Its numbers, none of which has more than 53 bits. */
export function numbersOf(model: Model, name: string): number[] {
  return Array.from(tensorOf(model, name).values, Number);
}
