// Two players with one face: the browser's own, and frames as pictures where a browser cannot play the file.

const READY_MS = 10000, MOST_OFF = 0.5;  // of a frame, between the browser's clock and the server's

class Player {
  constructor(video, times) {
    this.video = video;
    this.times = times;
    this.frame = 0;
    this.onframe = this.onstate = () => {};
  }

  show(frame) {
    this.frame = frame;
    this.onframe(frame);
  }

  step(by) {
    this.pause();
    this.seek(Math.min(Math.max(this.frame + by, 0), this.times.count - 1));
  }
}

// Throws a sentence where the browser cannot play the file as the model sees it.
export class VideoPlayer extends Player {
  sound = true;

  static async open(video, times) {
    if (!video.media_type) throw new Error("browsers do not play files of this kind");
    const player = new VideoPlayer(video, times), element = document.createElement("video");
    player.element = element;
    Object.assign(element, {muted: true, playsInline: true, preload: "auto", disablePictureInPicture: true});
    const stamp = await player.load();
    if (element.videoWidth !== video.width || element.videoHeight !== video.height) {
      throw new Error(element.videoWidth ? "this browser shows the video in another size than the model sees"
        : "this browser finds no picture in the file");
    }
    if (stamp !== null && times.nearest(stamp).off > MOST_OFF) {
      throw new Error("this browser's clock differs from that of the frames");
    }
    player.follow();
    for (const name of ["play", "pause", "ended"]) element.addEventListener(name, () => player.onstate());
    return player;
  }

  // The time stamp of the first picture; null where the browser does not tell.
  load() {
    const {element} = this, tells = "requestVideoFrameCallback" in element;
    return new Promise((done, fail) => {
      const late = setTimeout(() => fail(new Error("this browser does not get it to play")), READY_MS);
      const end = act => value => { clearTimeout(late); act(value); };
      element.addEventListener("error", () => end(fail)(new Error("this browser cannot decode it")));
      if (tells) element.requestVideoFrameCallback((_, {mediaTime}) => end(done)(mediaTime));
      else element.addEventListener("loadeddata", () => end(done)(null));
      // A file that has sound alone never shows a frame.
      element.addEventListener("loadedmetadata", () => element.videoWidth || end(done)(null));
      element.src = `/api/videos/${this.video.id}/file`;
    });
  }

  follow() {
    const {element, times} = this;
    if ("requestVideoFrameCallback" in element) {
      const next = (_, {mediaTime}) => {
        this.show(times.nearest(mediaTime).frame);
        element.requestVideoFrameCallback(next);
      };
      element.requestVideoFrameCallback(next);
      return;
    }
    const next = () => {
      const frame = times.at(element.currentTime - times.late);
      if (frame !== this.frame) this.show(frame);
      if (element.isConnected) requestAnimationFrame(next);
    };
    requestAnimationFrame(next);
  }

  get playing() { return !this.element.paused && !this.element.ended; }
  play() { return this.element.play(); }
  pause() { this.element.pause(); }
  mute(silent) { this.element.muted = silent; }

  seek(frame) {
    // Into the middle of a frame: at its edge rounding could give the one before.
    this.element.currentTime = this.times.late + this.times.middle(frame);
    this.show(frame);
  }

  close() {
    this.element.pause();
    this.element.removeAttribute("src");
    this.element.load();
  }
}

export class PicturePlayer extends Player {
  sound = false;
  playing = false;

  constructor(video, times) {
    super(video, times);
    this.element = document.createElement("img");
    this.element.alt = "";
    this.wanted = this.loading = null;
  }

  async open() {
    await this.seek(0);
    return this;
  }

  // The picture last asked for is shown; those asked for while one loads are left out.
  async seek(frame) {
    this.wanted = frame;
    if (this.loading) return this.loading;
    this.loading = this.fetch();
    try { await this.loading; } finally { this.loading = null; }
  }

  async fetch() {
    while (this.wanted !== null) {
      const frame = this.wanted, picture = new Image();
      this.wanted = null;
      picture.src = `/api/videos/${this.video.id}/frames/${frame}.jpg`;
      try { await picture.decode(); } catch { throw new Error(`frame ${frame} cannot be shown`); }
      this.element.src = picture.src;
      this.show(frame);
    }
  }

  async play() {
    const {times} = this, from = this.frame < times.count - 1 ? this.frame : 0;
    const began = performance.now() - 1000 * times.start(from);
    this.playing = true;
    this.onstate();
    try {
      while (this.playing) {
        const frame = times.at((performance.now() - began) / 1000);
        await this.seek(frame);
        if (frame >= times.count - 1) break;
        const wait = began + 1000 * times.start(frame + 1) - performance.now();
        await new Promise(done => setTimeout(done, Math.max(wait, 0)));
      }
    } finally { this.pause(); }
  }

  pause() {
    this.playing = false;
    this.onstate();
  }

  mute() {}
  close() { this.playing = false; }
}
