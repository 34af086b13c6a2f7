// Compressed COCO RLE: run lengths down columns, outside first. What pipeline/records/masks.py writes.

export function runs(counts) {
  const found = [];
  let at = 0;
  while (at < counts.length) {
    let value = 0, shift = 0, code;
    do {
      code = counts.charCodeAt(at++) - 48;
      value |= (code & 0x1f) << shift;
      shift += 5;
    } while (code & 0x20);
    if (code & 0x10 && shift < 32) value |= -1 << shift;
    // From the fourth on, a number is the difference to the run two before it.
    found.push(found.length > 2 ? value + found[found.length - 2] : value);
  }
  return found;
}

export const isEmpty = counts => runs(counts).length < 2;

// A mask, row by row, with 1 inside; and the same pixels as a list of places in it.
export function decode(counts, height, width) {
  const mask = new Uint8Array(height * width), places = [];
  let at = 0, inside = false;
  for (const run of runs(counts)) {
    if (inside) {
      for (let i = at; i < at + run; i++) {
        const place = (i % height) * width + Math.floor(i / height);
        mask[place] = 1;
        places.push(place);
      }
    }
    at += run;
    inside = !inside;
  }
  return {mask, places};
}
