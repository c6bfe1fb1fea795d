// What a phone reads of a code that is drawn in a terminal: `node qr.mjs < DRAWING`, which prints the text in it.
// A character is two modules, one above the other: space, upper half, lower half or full block is what is light.

import { readFileSync } from 'node:fs';
import jsqr from 'jsqr';

const LIGHT = { ' ': [false, false], '▀': [true, false], '▄': [false, true], '█': [true, true] };
const PIXELS = 4;

const rows = readFileSync(0, 'utf8').split('\n').filter((line) => line).flatMap((line) => {
  const modules = [...line].map((character) => LIGHT[character]);
  return [modules.map(([upper]) => upper), modules.map(([, lower]) => lower)];
});
const width = rows[0].length * PIXELS;
const height = rows.length * PIXELS;
const pixels = new Uint8ClampedArray(width * height * 4);
for (let y = 0; y < height; y += 1) {
  for (let x = 0; x < width; x += 1) {
    const light = rows[Math.floor(y / PIXELS)][Math.floor(x / PIXELS)];
    pixels.set([light ? 255 : 0, light ? 255 : 0, light ? 255 : 0, 255], (y * width + x) * 4);
  }
}
const found = jsqr(pixels, width, height);
if (!found) throw new Error('no code is to be seen');
process.stdout.write(found.data);
