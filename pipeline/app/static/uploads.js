// Files that are dropped or chosen: sent two at a time, each with its progress and a way to cancel.

import { upload } from "./api.js";
import { el, size, tell } from "./dom.js";

const TOGETHER = 2;
const MOST_TRIES = 30;
// Pictures that are not read are told by their first bytes, before they are sent; the server looks again.
const NOT_READ = [[[0x42, 0x4d], "BMP"], [[0x49, 0x49, 0x2a, 0], "TIFF"], [[0x4d, 0x4d, 0, 0x2a], "TIFF"]];

export class Uploads {
  constructor(list, { mostBytes, blind, onReceived }) {
    this.list = list;
    this.mostBytes = mostBytes;
    this.blind = blind;
    this.onReceived = onReceived;
    this.waiting = [];
    this.sending = 0;
  }

  add(files) {
    for (const file of files) {
      const row = new Row(file);
      this.list.append(row.element);
      if (file.size > this.mostBytes) {
        row.fail(`It is larger than ${size(this.mostBytes)}; start unmask app with a larger --max-upload.`);
      } else this.waiting.push({ row, blind: this.blind() });
      row.onRetry = () => { this.waiting.push({ row, blind: this.blind() }); this.next(); };
    }
    this.next();
  }

  next() {
    while (this.sending < TOGETHER && this.waiting.length) {
      const { row, blind } = this.waiting.shift();
      if (row.cancelled) continue;
      this.sending += 1;
      this.send(row, blind).finally(() => { this.sending -= 1; this.next(); });
    }
  }

  async send(row, blind) {
    const kind = await kindNotRead(row.file);
    if (kind) return row.fail(`This is a picture of a kind that is not read (${kind}). Save it as PNG or JPEG, or drop the original.`);
    for (let tries = 0; ; tries += 1) {
      try {
        const received = await upload(row.file, { blind }, (share) => row.progress(share), row.abort.signal);
        row.receive(received);
        return this.onReceived(received);
      } catch (error) {
        if (error.status === -1) return row.end("Cancelled.");
        if (error.status !== 429 || tries >= MOST_TRIES) return row.fail(error.message, error.status === 0 || error.status === 429);
        await new Promise((resolve) => setTimeout(resolve, 1000 * Math.max(1, error.retryAfter)));
        if (row.cancelled) return row.end("Cancelled.");
      }
    }
  }
}

class Row {
  constructor(file) {
    this.file = file;
    this.abort = new AbortController();
    this.cancelled = false;
    this.words = el("span", { class: "words" }, "waiting to be received");
    this.bar = el("progress", { max: 1, value: 0, "aria-label": `receiving ${file.name}` });
    this.button = el("button", { type: "button", "aria-label": `cancel ${file.name}`, onclick: () => this.cancel() }, "Cancel");
    this.element = el("li", {}, el("span", {}, el("span", { class: "name" }, file.name), " ", el("span", { class: "words" }, size(file.size)), " ", this.words), this.button, this.bar);
  }

  progress(share) {
    this.bar.value = share;
    this.words.textContent = share < 1 ? `receiving, ${Math.round(100 * share)} %` : "checking";
  }

  cancel() {
    this.cancelled = true;
    this.abort.abort();
    this.end("Cancelled.");
  }

  receive({ case: found, known }) {
    if (!known) return this.element.remove();
    this.end("");
    this.words.replaceChildren("This very file was received before: ", el("a", { href: `/cases/${found.id}` }, found.name), ". No new case was made.");
    tell(`${this.file.name} was received before.`);
  }

  end(words) {
    this.words.textContent = words;
    this.bar.remove();
    this.button.replaceWith(this.button = el("button", { type: "button", "aria-label": `remove the line of ${this.file.name}`, onclick: () => this.element.remove() }, "Remove"));
  }

  fail(words, again = false) {
    this.end(words);
    this.words.className = "bad";
    tell(`${this.file.name}: ${words}`);
    if (!again) return;
    this.button.replaceWith(this.button = el("button", { type: "button", onclick: () => {
      this.words.className = "words";
      this.words.textContent = "waiting to be received";
      this.abort = new AbortController();
      this.element.append(this.bar);
      this.button.replaceWith(this.button = el("button", { type: "button", onclick: () => this.cancel() }, "Cancel"));
      this.onRetry();
    } }, "Send again"));
  }
}

async function kindNotRead(file) {
  try {
    const first = new Uint8Array(await file.slice(0, 16).arrayBuffer());
    return NOT_READ.find(([begin]) => begin.every((byte, at) => first[at] === byte))?.[1] ?? null;
  } catch {
    return null; // a folder, or a file that is gone: sending it says so
  }
}
