// Other formats at the size of a file, by the browser's own encoders, and how far each is from the original.

/** A picture as RGBA, and what stands for it. */
export interface Contender {
  readonly name: string;
  readonly bytes: number;
  /** What was asked of the encoder; empty for a file that was given. */
  readonly note: string;
  readonly pixels: ImageData;
}

export interface Distances {
  /** Of R, G and B, in dB; infinite for equal pictures. */
  readonly psnrDb: number;
  /** Mean over squares of 8 x 8 pixels of the luma, every fourth of them; 1 for equal pictures. */
  readonly ssim: number;
}

const WINDOW = 8;
const WINDOW_STEP = 4;

/** The pixels of a picture file; the browser turns it upright and converts its colours to sRGB. */
export async function pixelsOf(file: Blob): Promise<ImageData> {
  const bitmap = await createImageBitmap(file);
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d", { willReadFrequently: true });
  if (context === null) throw new Error("a canvas must be possible, found that it is not");
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, context.canvas.width, context.canvas.height);
}

/**
 * The best of a format that takes at most so many bytes, or its smallest where none does; null where the browser cannot
 * write it.
 */
export async function encodedToSize(original: ImageData, name: string, type: string, bytes: number): Promise<Contender | null> {
  const canvas = new OffscreenCanvas(original.width, original.height);
  canvas.getContext("2d")?.putImageData(original, 0, 0);
  const encoded = (percent: number): Promise<Blob> => canvas.convertToBlob({ type, quality: percent / 100 });
  let best = await encoded(0);
  if (best.type !== type) return null;
  let [low, high] = [0, 101];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    const blob = await encoded(middle);
    // At 100 some browsers write WebP without loss, which is another format.
    if (blob.size <= bytes && middle < 100) [low, best] = [middle, blob];
    else high = middle;
  }
  const note = best.size > bytes ? "its smallest" : `quality ${low} of 100`;
  return { name, bytes: best.size, note, pixels: await pixelsOf(best) };
}

/** How far a picture is from its original, of the same size. */
export function distances(original: ImageData, other: ImageData): Distances {
  const [a, b] = [original.data, other.data];
  let squares = 0;
  for (let index = 0; index < a.length; index += 4) {
    for (let channel = index; channel < index + 3; channel++) squares += (a[channel]! - b[channel]!) ** 2;
  }
  const psnrDb = 10 * Math.log10(255 ** 2 / (squares / ((3 * a.length) / 4)));
  return { psnrDb, ssim: similarity(luma(original), luma(other), original.width, original.height) };
}

function luma({ data }: ImageData): Float32Array {
  const found = new Float32Array(data.length / 4);
  for (let index = 0; index < found.length; index++) {
    found[index] = 0.299 * data[4 * index]! + 0.587 * data[4 * index + 1]! + 0.114 * data[4 * index + 2]!;
  }
  return found;
}

/** Wang et al. 2004 with a flat window. */
function similarity(a: Float32Array, b: Float32Array, width: number, height: number): number {
  const [inMeans, inVariances] = [(0.01 * 255) ** 2, (0.03 * 255) ** 2];
  const [windowHeight, windowWidth] = [Math.min(WINDOW, height), Math.min(WINDOW, width)];
  const count = windowHeight * windowWidth;
  let [total, windows] = [0, 0];
  for (let top = 0; top + windowHeight <= height; top += WINDOW_STEP) {
    for (let left = 0; left + windowWidth <= width; left += WINDOW_STEP) {
      let [sumA, sumB, squaresA, squaresB, products] = [0, 0, 0, 0, 0];
      for (let row = top; row < top + windowHeight; row++) {
        for (let at = row * width + left; at < row * width + left + windowWidth; at++) {
          const [x, y] = [a[at]!, b[at]!];
          sumA += x;
          sumB += y;
          squaresA += x * x;
          squaresB += y * y;
          products += x * y;
        }
      }
      const [meanA, meanB] = [sumA / count, sumB / count];
      const variances = (squaresA + squaresB) / count - meanA ** 2 - meanB ** 2;
      const covariance = products / count - meanA * meanB;
      total +=
        ((2 * meanA * meanB + inMeans) * (2 * covariance + inVariances)) /
        ((meanA ** 2 + meanB ** 2 + inMeans) * (variances + inVariances));
      windows++;
    }
  }
  return total / windows;
}
