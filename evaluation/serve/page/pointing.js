// Boxes and points on a frame, by mouse, finger or keyboard. Coordinates are pixels of the video.

const SVG = "http://www.w3.org/2000/svg";
const STILL = 5;  // pixels of the screen: a pointer that moves less has clicked
const ARROWS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};

export class Pointing {
  // ``onstart`` is called when a gesture begins, ``onregion`` with what was drawn.
  constructor(svg, video, {onstart, onregion}) {
    Object.assign(this, {svg, video, onstart, onregion});
    this.from = this.to = this.cursor = null;
    svg.setAttribute("viewBox", `0 0 ${video.width} ${video.height}`);
    svg.onpointerdown = event => this.down(event);
    svg.onpointermove = event => this.move(event);
    svg.onpointerup = event => this.up(event);
    svg.onpointercancel = () => this.cancel();
    svg.onkeydown = event => this.key(event);
    svg.onfocus = () => { this.keyboard = svg.matches(":focus-visible"); this.draw(); };
    svg.onblur = () => { this.keyboard = false; this.cancel(); };
    this.regions = [];
    this.frame = 0;
  }

  show(regions, frame) {
    this.regions = regions;
    this.frame = frame;
    this.draw();
  }

  place(event) {
    const box = this.svg.getBoundingClientRect(), {width, height} = this.video;
    const within = (value, most) => Math.min(Math.max(value, 0), most);
    return {
      x: within((event.clientX - box.left) / box.width * width, width),
      y: within((event.clientY - box.top) / box.height * height, height),
      screen: [event.clientX, event.clientY],
    };
  }

  down(event) {
    if (event.button) return;
    this.keyboard = false;
    this.svg.setPointerCapture(event.pointerId);
    this.onstart();
    this.from = this.to = this.place(event);
  }

  move(event) {
    if (!this.from || this.keyboard) return;
    this.to = this.place(event);
    this.draw();
  }

  up(event) {
    if (!this.from || this.keyboard) return;
    const to = this.place(event), [x, y] = this.from.screen;
    this.end(to, Math.hypot(to.screen[0] - x, to.screen[1] - y) < STILL);
  }

  key(event) {
    const {width, height} = this.video, arrow = ARROWS[event.key];
    if (event.key === "Escape") { this.cancel(); return; }
    if (!arrow && event.key !== "Enter") return;
    event.preventDefault();
    this.keyboard = true;
    this.cursor ??= {x: width / 2, y: height / 2};
    if (arrow) {
      const by = (event.shiftKey ? 0.1 : 0.02) * Math.max(width, height);
      this.cursor = {
        x: Math.min(Math.max(this.cursor.x + by * arrow[0], 0), width),
        y: Math.min(Math.max(this.cursor.y + by * arrow[1], 0), height),
      };
      if (this.from) this.to = this.cursor;
      this.draw();
    } else if (!this.from) {
      this.onstart();
      this.from = this.to = this.cursor;
      this.draw();
    } else {
      this.end(this.cursor, this.cursor === this.from);
    }
  }

  end(to, still) {
    const {width, height} = this.video, from = this.from;
    this.from = this.to = null;
    const box = {
      x1: Math.floor(Math.min(from.x, to.x)), y1: Math.floor(Math.min(from.y, to.y)),
      x2: Math.min(Math.ceil(Math.max(from.x, to.x)), width),
      y2: Math.min(Math.ceil(Math.max(from.y, to.y)), height),
    };
    if (still || box.x2 <= box.x1 || box.y2 <= box.y1) {
      const [x, y] = [Math.min(Math.floor(from.x), width - 1), Math.min(Math.floor(from.y), height - 1)];
      this.onregion({kind: "point", frame: this.frame, x, y});
    } else {
      this.onregion({kind: "box", frame: this.frame, ...box});
    }
  }

  cancel() {
    this.from = this.to = null;
    this.draw();
  }

  draw() {
    this.svg.textContent = "";
    this.regions.forEach((region, k) => {
      if (region.frame === this.frame) this.shape(region, String(k + 1));
    });
    const {from, to} = this;
    if (from) {
      const [x1, x2] = [Math.min(from.x, to.x), Math.max(from.x, to.x)];
      const [y1, y2] = [Math.min(from.y, to.y), Math.max(from.y, to.y)];
      this.add("rect", {class: "region drawing", x: x1, y: y1, width: x2 - x1, height: y2 - y1});
    }
    if (this.keyboard) {
      const {x, y} = this.cursor ?? {x: this.video.width / 2, y: this.video.height / 2};
      this.add("path", {class: "cursor", d: `M${x} 0V${this.video.height}M0 ${y}H${this.video.width}`});
    }
  }

  shape(region, name) {
    const {width, height, point_radius} = this.video, size = Math.max(width, height) / 28;
    let [x, y] = [region.x, region.y];
    if (region.kind === "box") {
      const {x1, y1, x2, y2} = region;
      [x, y] = [x1, y1];
      this.add("rect", {class: "region", x: x1, y: y1, width: x2 - x1, height: y2 - y1});
    } else {
      this.add("circle", {class: "region", cx: x + 0.5, cy: y + 0.5, r: point_radius});
      this.add("circle", {class: "spot", cx: x + 0.5, cy: y + 0.5, r: size / 8});
    }
    const up = y > size * 1.3 ? y - size * 0.3 : y + size;
    this.add("text", {class: "region-name", x: Math.min(x, width - size), y: up, "font-size": size}, name);
  }

  add(kind, attributes, text = "") {
    const element = document.createElementNS(SVG, kind);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.textContent = text;
    this.svg.append(element);
  }
}
