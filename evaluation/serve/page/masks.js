// The masks of an answer, drawn over the frame that shows: filled, with an outline that hides what is under it.

import {decode} from "./rle.js";

const OPACITY = 115;  // of 255

export class Masks {
  constructor(canvas, video, colours) {
    this.canvas = canvas;
    this.colours = colours;
    canvas.width = video.width;
    canvas.height = video.height;
    this.line = Math.max(1, Math.round(Math.min(video.width, video.height) / 360));
    this.set(null);
  }

  // ``record`` as in answer.json; ``hidden``: numbers of objects that are not drawn.
  set(record, hidden = new Set()) {
    this.record = record;
    this.hidden = hidden;
    this.frames = record?.segmented ?? [];
  }

  // Draws the masks of a frame, or of the last frame before it that has masks. The frame drawn, or null.
  draw(frame) {
    const {canvas} = this, context = canvas.getContext("2d", {willReadFrequently: true});
    context.clearRect(0, 0, canvas.width, canvas.height);
    const drawn = this.frames.findLast(one => one <= frame) ?? null;
    canvas.dataset.frame = drawn ?? "";
    if (drawn === null) return null;
    const image = context.createImageData(canvas.width, canvas.height);
    const made = this.record.masks.filter(({object}) => !this.hidden.has(object)).map(({object, masks}) => ({
      colour: this.colours[(object - 1) % this.colours.length],
      ...decode(masks[drawn].counts, canvas.height, canvas.width),
    }));
    for (const {colour, places} of made) for (const place of places) blend(image.data, 4 * place, colour);
    for (const {colour, mask, places} of made) {
      for (const place of places) if (this.isEdge(mask, place)) image.data.set([...colour, 255], 4 * place);
    }
    context.putImageData(image, 0, 0);
    return drawn;
  }

  // Whether a pixel of a mask has one outside of it nearby; the frame's own edge is not an outline.
  isEdge(mask, place) {
    const {width, height} = this.canvas, x = place % width, y = (place - x) / width;
    for (let by = 1; by <= this.line; by++) {
      if (x >= by && !mask[place - by] || x + by < width && !mask[place + by]
        || y >= by && !mask[place - by * width] || y + by < height && !mask[place + by * width]) return true;
    }
    return false;
  }
}

function blend(data, at, colour) {
  const under = data[at + 3];
  const share = under ? OPACITY / 255 : 1;
  for (let i = 0; i < 3; i++) data[at + i] = Math.round(share * colour[i] + (1 - share) * data[at + i]);
  data[at + 3] = under ? Math.round(OPACITY + under * (1 - OPACITY / 255)) : OPACITY;
}
