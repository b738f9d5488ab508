import { TmixError, corrupted } from "./errors.js";

/** Reads the fields of a file one after the other. */
export class FieldReader {
  position = 0;

  constructor(readonly bytes: Uint8Array) {}

  get remaining(): number {
    return this.bytes.length - this.position;
  }

  /** So many bytes, a view of them. */
  raw(length: number, name: string): Uint8Array {
    if (length > this.remaining) {
      throw new TmixError(
        "truncated",
        `${name} must have ${length} bytes, found ${this.remaining}: the file was cut short, fetch it again`,
      );
    }
    this.position += length;
    return this.bytes.subarray(this.position - length, this.position);
  }

  /** An unsigned integer of 1 to 4 bytes, the lowest first. */
  unsigned(size: 1 | 2 | 4, name: string): number {
    return this.raw(size, name).reduceRight((high, byte) => high * 256 + byte, 0);
  }

  /** LEB128, at most five bytes and 2^32 - 1, in its shortest form. */
  varint(name: string): number {
    let value = 0;
    for (let index = 0; index < 5; index++) {
      const byte = this.unsigned(1, name);
      value += (byte & 127) * 2 ** (7 * index);
      if (byte < 128) {
        if (value > 0xffffffff || (byte === 0 && index > 0)) break;
        return value;
      }
    }
    throw corrupted(`${name} must be a number up to 2^32 - 1 in its shortest form, found another`);
  }
}
