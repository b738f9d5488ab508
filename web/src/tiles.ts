// Large pictures in tiles, so that memory stays bounded: what the network sees of the latents, and what is kept of it.

/** Of rows or columns `first` to `last` that are seen, `start` to `stop` are kept. */
export interface Strip {
  readonly first: number;
  readonly start: number;
  readonly stop: number;
  readonly last: number;
}

export interface Tile {
  readonly rows: Strip;
  readonly columns: Strip;
}

function strips(size: number, halo: number, step: number): Strip[] {
  const found: Strip[] = [];
  for (let start = 0; start < size; start += step) {
    const stop = Math.min(start + step, size);
    found.push({ first: Math.max(0, start - halo), start, stop, last: Math.min(size, stop + halo) });
  }
  return found;
}

/**
 * Tiles that cover all latents, row by row, cut so that few positions are seen twice.
 *
 * @param positions about the largest tile with its halo; one with fewer rows than the halo is not worth it.
 */
export function tiles(height: number, width: number, halo: number, positions: number): Tile[] {
  let best = { seen: Infinity, tileHeight: height, tileWidth: width };
  for (let pieces = 1; pieces < 2 + Math.floor(width / Math.max(1, 2 * halo)); pieces++) {
    const tileWidth = Math.ceil(width / pieces);
    const seenWidth = Math.min(width, tileWidth + 2 * halo);
    const most = Math.floor(positions / seenWidth);
    const count = Math.ceil(height / (height <= most ? height : Math.max(1, halo, most - 2 * halo)));
    const tileHeight = Math.ceil(height / count);
    const seen = pieces * seenWidth * count * Math.min(height, tileHeight + 2 * halo);
    if (seen < best.seen) best = { seen, tileHeight, tileWidth };
  }
  return strips(height, halo, best.tileHeight).flatMap((rows) =>
    strips(width, halo, best.tileWidth).map((columns) => ({ rows, columns })),
  );
}
