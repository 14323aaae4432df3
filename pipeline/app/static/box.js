// A box that a person draws on the video or image, or enters in numbers, around the face that is to be judged.

const SVG = "http://www.w3.org/2000/svg";
const LEAST = 8;

export class BoxDrawing {
  constructor(player, onSubmit) {
    this.player = player;
    this.form = document.getElementById("box-form");
    this.button = document.getElementById("draw");
    this.fields = this.form.elements;
    this.rect = document.createElementNS(SVG, "rect");
    this.rect.setAttribute("class", "drawn");
    this.start = null;
    this.button.addEventListener("click", () => this.drawing(this.button.getAttribute("aria-pressed") !== "true"));
    addEventListener("keydown", (event) => { if (event.key === "Escape") this.drawing(false); });
    const overlay = player.overlay;
    overlay.addEventListener("pointerdown", (event) => {
      overlay.setPointerCapture(event.pointerId);
      this.start = this.at(event);
      event.preventDefault();
    });
    overlay.addEventListener("pointermove", (event) => { if (this.start) this.span(this.start, this.at(event)); });
    overlay.addEventListener("pointerup", () => {
      this.start = null;
      if (Number(this.fields.width.value) >= LEAST && Number(this.fields.height.value) >= LEAST) this.drawing(false);
    });
    this.form.addEventListener("input", (event) => { if (event.target.name !== "seconds") this.show(); });
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      const [x, y, width, height] = ["x", "y", "width", "height"].map((name) => Number(this.fields[name].value));
      onSubmit(`${x},${y},${width},${height}${this.fields.seconds ? `@${Number(this.fields.seconds.value)}` : ""}`);
    });
    document.getElementById("box-details").addEventListener("toggle", (event) => { if (event.target.open) this.time(); });
    player.video?.addEventListener("seeked", () => this.time());
    player.video?.addEventListener("pause", () => this.time());
  }

  time() {
    if (this.fields.seconds) this.fields.seconds.value = this.player.time.toFixed(3);
  }

  drawing(on) {
    this.button.setAttribute("aria-pressed", on);
    this.player.overlay.classList.toggle("drawing", on);
    this.start = null;
    if (!on) return;
    this.player.video?.pause();
    this.player.place();
    this.time();
    this.player.screen.scrollIntoView({ block: "nearest" });
  }

  at(event) {
    const room = this.player.overlay.getBoundingClientRect(), { wide, high } = this.player.picture;
    const inside = (value, most) => Math.min(Math.max(value, 0), most);
    return [inside(((event.clientX - room.left) / room.width) * wide, wide), inside(((event.clientY - room.top) / room.height) * high, high)];
  }

  span([x0, y0], [x1, y1]) {
    const values = { x: Math.min(x0, x1), y: Math.min(y0, y1), width: Math.abs(x1 - x0), height: Math.abs(y1 - y0) };
    for (const [name, value] of Object.entries(values)) this.fields[name].value = Math.round(value);
    this.show();
  }

  show() {
    for (const name of ["x", "y", "width", "height"]) this.rect.setAttribute(name, Number(this.fields[name].value) || 0);
    this.player.overlay.append(this.rect);
  }
}
