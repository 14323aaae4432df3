// Makes elements and words. Text is set as text, never as HTML: names of files are not to be trusted.

export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((one) => one !== null && one !== ""));
  return made;
}

export function tell(words) {
  const place = document.getElementById("told");
  place.textContent = words;
  clearTimeout(tell.timer);
  tell.timer = setTimeout(() => { place.textContent = ""; }, 8000);
}

export function size(bytes) {
  if (bytes < 1e6) return `${Math.max(1, Math.round(bytes / 1e3))} kB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}

export function moment(seconds) {
  return new Date(seconds * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

const STAGES = {
  starting: "starting",
  decoding: "decoding",
  faces: "finding faces",
  backbone: "backbone",
  "heat map": "heat map",
  "case file": "writing the case file",
};

export function stateWords(run) {
  if (!run) return "";
  if (run.state !== "running") return { queued: "queued", done: "done", failed: "failed", cancelled: "cancelled" }[run.state];
  const share = run.share === null ? "" : ` ${Math.round(100 * run.share)} %`;
  return `${STAGES[run.stage] ?? run.stage}${share}`;
}

// A bar for a run that waits or runs; one without a share only shows that something is being done.
export function bar(run, label) {
  if (!run || !["queued", "running"].includes(run.state)) return null;
  const made = el("progress", { max: 1, "aria-label": label });
  if (run.state === "queued") made.value = 0;
  else if (run.share !== null) made.value = run.share;
  return made;
}

// Replaces a list's items only where they changed, so that focus and reading are not disturbed.
export function fill(list, items, key, make) {
  const old = new Map([...list.children].map((one) => [one.dataset.key, one]));
  const wanted = items.map((item) => {
    const text = JSON.stringify(item), there = old.get(key(item));
    if (there && there.dataset.held === text) return there;
    const made = make(item);
    made.dataset.key = key(item);
    made.dataset.held = text;
    if (there && there.contains(document.activeElement)) {
      const name = document.activeElement.dataset.focus;
      there.replaceWith(made);
      if (name) made.querySelector(`[data-focus="${name}"]`)?.focus();
    }
    return made;
  });
  for (const [at, one] of wanted.entries()) {
    if (list.children[at] !== one) list.insertBefore(one, list.children[at] ?? null);
  }
  while (list.children.length > wanted.length) list.lastElementChild.remove();
}
