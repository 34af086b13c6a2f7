// When the frames of a video show, in seconds from the first one; see pipeline/times/frame_times.py.

export class FrameTimes {
  constructor({frames, duration_s, start_s, starts_s}) {
    this.count = frames;
    this.duration = duration_s;
    this.late = start_s;  // what a player's clock says when the first frame shows
    this.starts = starts_s;
  }

  start(frame) {
    if (frame >= this.count) return this.duration;
    return this.starts.length ? this.starts[frame] : frame * this.duration / this.count;
  }

  middle(frame) {
    return (this.start(frame) + this.start(frame + 1)) / 2;
  }

  // The frame that shows at a time; the first one before it, the last one after it.
  at(seconds) {
    let low = 0, high = this.count;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (this.start(middle) <= seconds + 1e-6) low = middle; else high = middle;
    }
    return low;
  }

  // The frame that starts nearest to a time stamp of a player, and how far off it is, in frames.
  nearest(stamp) {
    const seconds = stamp - this.late, found = this.at(seconds), next = Math.min(found + 1, this.count - 1);
    const off = frame => Math.abs(this.start(frame) - seconds);
    const frame = off(next) < off(found) ? next : found;
    return {frame, off: off(frame) / (this.start(frame + 1) - this.start(frame))};
  }
}

export const written = seconds => {
  if (seconds < 60) return `${seconds.toFixed(2)} s`;
  return `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(2).padStart(5, "0")}`;
};
