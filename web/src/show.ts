// A decoded picture on a canvas.

import { hasOwnColours, toPng, toRgba } from "./png.js";
import type { Picture } from "./decode.js";

/** Makes a canvas of the picture's size show it; colours other than sRGB are converted by the browser. */
export async function showOn(canvas: HTMLCanvasElement, picture: Picture): Promise<void> {
  const { width, height } = picture.header;
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  if (context === null) throw new Error(`a canvas of ${width} x ${height} must be possible, found that it is not`);
  if (hasOwnColours(picture)) context.drawImage(await createImageBitmap(await toPng(picture)), 0, 0);
  else context.putImageData(new ImageData(toRgba(picture), width, height), 0, 0);
}
