// Lanes below the video: the spans of an answer, and when each of its objects can be seen.

import {isEmpty} from "./rle.js";
import {written} from "./times.js";

export class Timeline {
  constructor(lanes, ticks, times, onseek) {
    Object.assign(this, {lanes, times, onseek});
    ticks.replaceChildren(...[0, 0.25, 0.5, 0.75, 1].map(part => {
      const tick = document.createElement("span");
      tick.textContent = written(part * times.duration);
      tick.style.setProperty("--at", part);
      return tick;
    }));
  }

  set(record, colour) {
    this.lanes.replaceChildren();
    if (!record) return;
    const {times} = this;
    if (record.spans.length) {
      const bars = record.spans.map(({start_s, end_s}) => ({start: start_s, end: end_s}));
      this.lane(bars.length > 1 ? "spans" : "span", bars, null, "span");
    }
    for (const {object, masks} of record.masks) {
      const bars = [];
      record.segmented.forEach((frame, at) => {
        if (isEmpty(masks[frame].counts)) return;
        const start = times.start(frame), end = times.start(record.segmented[at + 1] ?? times.count);
        if (bars.length && bars.at(-1).next === at) Object.assign(bars.at(-1), {end, next: at + 1});
        else bars.push({start, end, next: at + 1});
      });
      this.lane(`object ${object}`, bars, colour(object), "seen");
    }
  }

  lane(name, bars, colour, kind) {
    const row = document.createElement("div"), label = document.createElement("span");
    const lane = document.createElement("div");
    row.className = "row";
    label.className = "lane-name";
    label.textContent = name;
    lane.className = `lane ${kind}`;
    for (const {start, end} of bars) {
      const bar = document.createElement("button");
      bar.type = "button";
      bar.style.left = `${100 * start / this.times.duration}%`;
      bar.style.width = `${100 * (end - start) / this.times.duration}%`;
      if (colour) bar.style.background = colour;
      bar.title = `${name}: ${written(start)} to ${written(end)}`;
      bar.setAttribute("aria-label", `${bar.title}; go there`);
      bar.addEventListener("click", () => this.onseek(start));
      lane.append(bar);
    }
    row.append(label, lane);
    this.lanes.append(row);
  }

  // The present moment, as a share of the width of all lanes.
  now(frame) {
    this.lanes.style.setProperty("--now", this.times.start(frame) / this.times.duration);
  }
}
