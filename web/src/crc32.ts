const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte;
  for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? 0xedb88320 ^ (rest >>> 1) : rest >>> 1;
  return rest >>> 0;
});

/** CRC-32 of zlib, PNG and gzip; `before` is that of the bytes in front. */
export function crc32(bytes: Uint8Array, before = 0): number {
  let crc = ~before;
  for (let index = 0; index < bytes.length; index++) crc = TABLE[(crc ^ bytes[index]!) & 255]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** Eight digits. */
export function hexadecimal(crc: number): string {
  return crc.toString(16).padStart(8, "0");
}
