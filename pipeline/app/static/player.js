// The video and the charts of its scores: point at a chart and see score and frame, click and the video goes there.
// Of an image there is the picture alone, with the squares that the network saw.

import { el } from "./dom.js";

const KEY_STEP = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1, PageDown: -5, PageUp: 5 };
const SVG = "http://www.w3.org/2000/svg";

export class Player {
  constructor(timeline) {
    this.timeline = timeline;
    this.video = document.getElementById("video");
    this.image = document.getElementById("picture");
    this.screen = this.video ?? this.image;
    this.overlay = document.getElementById("overlay");
    this.words = document.getElementById("moment");
    this.boxes = document.getElementById("show-boxes");
    this.cursors = [];
    this.time = 0;
    this.screen.addEventListener("error", () => this.cannotPlay());
    if (this.video ? this.video.error : this.image.complete && !this.image.naturalWidth) this.cannotPlay();
    for (const kind of ["timeupdate", "seeked", "loadedmetadata"]) {
      this.video?.addEventListener(kind, () => this.show(this.video.currentTime));
    }
    this.boxes?.addEventListener("change", () => this.draw());
    addEventListener("resize", () => this.place());
    for (const kind of ["loadedmetadata", "load"]) this.screen.addEventListener(kind, () => this.place());
    for (const face of timeline?.faces ?? []) this.attach(face);
    this.place();
    // On a telephone the video stays in sight beside the charts, and nowhere else.
    const verdict = document.querySelector(".verdict-body"), stage = document.getElementById("stage");
    if (verdict) new IntersectionObserver(([seen]) => stage.classList.toggle("stuck", seen.isIntersecting && timeline !== null)).observe(verdict);
  }

  cannotPlay() {
    document.getElementById("unplayable").hidden = false;
    this.screen.hidden = true;
  }

  // The picture inside the player, without the black beside it.
  get picture() {
    const wide = this.timeline?.width || this.video?.videoWidth || this.image?.naturalWidth || 16;
    const high = this.timeline?.height || this.video?.videoHeight || this.image?.naturalHeight || 9;
    const room = this.screen.getBoundingClientRect(), scale = Math.min(room.width / wide, room.height / high) || 1;
    return { wide, high, scale, left: (room.width - wide * scale) / 2, top: (room.height - high * scale) / 2 };
  }

  place() {
    const { wide, high, scale, left, top } = this.picture;
    Object.assign(this.overlay.style, { left: `${left}px`, top: `${top}px`, width: `${wide * scale}px`, height: `${high * scale}px` });
    this.overlay.setAttribute("viewBox", `0 0 ${wide} ${high}`);
    this.draw();
  }

  seek(seconds) {
    const end = Number.isFinite(this.video?.duration) ? this.video.duration : seconds;
    if (this.video && !this.video.hidden) this.video.currentTime = Math.min(Math.max(0, seconds), end);
    this.show(seconds);
  }

  show(seconds) {
    this.time = seconds;
    for (const one of this.cursors) one.move(seconds);
    const words = (this.timeline?.faces ?? []).flatMap((face) => {
      const window = windowAt(face, seconds);
      return window ? [`face ${face.face}: P(fake) ${window.probability_fake.toFixed(3)}, ${window.verdict}`] : [];
    });
    this.words.textContent = [...(this.image ? [] : [`${seconds.toFixed(2)} s`]), ...words].join("; ");
    this.draw();
  }

  draw() {
    for (const old of this.overlay.querySelectorAll(".seen")) old.remove();
    if (!this.boxes?.checked || this.screen.hidden) return;
    const size = Math.max(14, this.picture.wide / 28);
    for (const face of this.timeline?.faces ?? []) {
      const at = nearest(face.times, this.time), step = (face.times.at(-1) - face.times[0]) / Math.max(1, face.times.length - 1);
      if (at < 0 || Math.abs(face.times[at] - this.time) > Math.max(step, 0.1)) continue;
      const [x0, y0, x1, y1] = face.boxes[at], verdict = windowAt(face, this.time)?.verdict ?? "";
      const made = document.createElementNS(SVG, "rect"), number = document.createElementNS(SVG, "text");
      for (const [name, value] of Object.entries({ x: x0, y: y0, width: x1 - x0, height: y1 - y0, class: `seen ${verdict}` })) made.setAttribute(name, value);
      for (const [name, value] of Object.entries({ x: x0 + size / 4, y: y0 + size, class: "seen", "font-size": size })) number.setAttribute(name, value);
      number.style.fontSize = `${size}px`;
      number.textContent = face.face;
      this.overlay.append(made, number);
    }
  }

  attach(face) {
    const plot = document.querySelector(`#timeline-${face.face} .plot`);
    if (!plot || !face.windows.length) return;
    const frames = [...(document.querySelectorAll(`#timeline-${face.face} ~ .faces`)[0]?.querySelectorAll("figure") ?? [])];
    this.cursors.push(new Cursor(plot, face, frames, this));
  }
}

// One chart: a line at the video's time, one at the pointer, and what was there.
class Cursor {
  constructor(plot, face, frames, player) {
    Object.assign(this, { plot, face, player });
    this.frames = frames.map((one) => ({ seconds: parseFloat(one.querySelector("figcaption").textContent), picture: one.querySelector("img") }));
    this.line = el("div", { class: "cursor" });
    this.hover = el("div", { class: "cursor hover", hidden: true });
    this.tip = el("div", { class: "tip", hidden: true });
    plot.classList.add("live");
    plot.append(this.line, this.hover, this.tip);
    for (const [name, value] of Object.entries({
      role: "slider", tabindex: 0, "aria-label": `Time in the video, face ${face.face}`, "aria-orientation": "horizontal",
      "aria-valuemin": face.windows[0].start_seconds.toFixed(2), "aria-valuemax": face.windows.at(-1).end_seconds.toFixed(2),
    })) plot.setAttribute(name, value);
    plot.addEventListener("pointermove", (event) => this.point(this.secondsAt(event)));
    plot.addEventListener("pointerleave", () => this.leave());
    plot.addEventListener("blur", () => this.leave());
    plot.addEventListener("click", (event) => player.seek(this.secondsAt(event)));
    plot.addEventListener("keydown", (event) => this.key(event));
    this.move(player.time);
  }

  secondsAt(event) {
    const room = this.plot.getBoundingClientRect(), [low, high] = this.face.axis;
    return Math.min(Math.max(low + ((event.clientX - room.left) / room.width) * (high - low), Math.max(0, low)), high);
  }

  share(seconds) {
    const [low, high] = this.face.axis;
    return 100 * Math.min(Math.max((seconds - low) / (high - low), 0), 1);
  }

  move(seconds) {
    this.line.style.left = `${this.share(seconds)}%`;
    const window = windowAt(this.face, seconds);
    this.plot.setAttribute("aria-valuenow", seconds.toFixed(2));
    this.plot.setAttribute("aria-valuetext", window ? `${seconds.toFixed(2)} seconds, P(fake) ${window.probability_fake.toFixed(3)}, ${window.verdict}` : `${seconds.toFixed(2)} seconds`);
  }

  point(seconds) {
    const window = windowAt(this.face, seconds), at = nearest(this.frames.map((one) => one.seconds), seconds), share = this.share(seconds);
    this.hover.hidden = this.tip.hidden = false;
    this.hover.style.left = `${share}%`;
    this.tip.style.left = share > 50 ? "auto" : `calc(${share}% + 10px)`;
    this.tip.style.right = share > 50 ? `calc(${100 - share}% + 10px)` : "auto";
    const picture = at < 0 ? null : this.frames[at].picture;
    this.tip.replaceChildren(
      ...(picture ? [el("img", { src: picture.src, alt: "" })] : []),
      el("p", {}, `${seconds.toFixed(2)} s${picture ? `, frame at ${this.frames[at].seconds.toFixed(2)} s` : ""}`),
      ...(window ? [el("p", {}, `P(fake) ${window.probability_fake.toFixed(3)}, ${window.verdict}`)] : []));
  }

  leave() {
    this.hover.hidden = this.tip.hidden = true;
  }

  key(event) {
    const middles = this.face.windows.map((one) => (one.start_seconds + one.end_seconds) / 2);
    let at = nearest(middles, this.player.time);
    if (event.key in KEY_STEP) at += KEY_STEP[event.key];
    else if (event.key === "Home") at = 0;
    else if (event.key === "End") at = middles.length - 1;
    else return;
    event.preventDefault();
    const seconds = middles[Math.min(Math.max(at, 0), middles.length - 1)];
    this.player.seek(seconds);
    this.point(seconds);
  }
}

function windowAt(face, seconds) {
  let best = null, gap = Infinity;
  for (const one of face.windows) {
    const away = Math.abs((one.start_seconds + one.end_seconds) / 2 - seconds);
    if (away < gap && seconds >= face.windows[0].start_seconds - 0.5 && seconds <= face.windows.at(-1).end_seconds + 0.5) [best, gap] = [one, away];
  }
  return best;
}

function nearest(times, seconds) {
  let best = -1;
  for (const [at, one] of times.entries()) if (best < 0 || Math.abs(one - seconds) < Math.abs(times[best] - seconds)) best = at;
  return best;
}
