// The first page: drop files, see what becomes of them, find cases.

import { call } from "./api.js";
import { bar, el, fill, moment, size, stateWords, tell } from "./dom.js";
import { Uploads } from "./uploads.js";

const BUSY_MS = 800, IDLE_MS = 5000, PAGE = 100;
const drop = document.getElementById("drop"), list = document.getElementById("cases");
const search = document.getElementById("search"), more = document.getElementById("more");
let shown = PAGE, timer = 0, looked = 0, lost = false;

const uploads = new Uploads(document.getElementById("uploads"), {
  mostBytes: Number(drop.dataset.mostBytes),
  blind: () => document.getElementById("blind").checked,
  onReceived: () => refresh(),
});

const files = document.getElementById("files");
files.addEventListener("change", () => { uploads.add([...files.files]); files.value = ""; });
// A file that misses its place must not replace the page.
for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault());
addEventListener("dragover", (event) => drop.classList.toggle("over", [...event.dataTransfer.types].includes("Files")));
addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
addEventListener("drop", (event) => {
  drop.classList.remove("over");
  uploads.add([...event.dataTransfer.files]);
});

function verdict(found) {
  if (found.blind) return el("span", { class: "small" }, "hidden until a reader has entered theirs");
  const run = found.run;
  if (!run?.verdict) return "";
  return el("span", { class: `badge ${run.verdict}` }, run.verdict, el("span", { class: "small" }, `  P(fake) ${run.probability_fake.toFixed(3)}`));
}

function item(found) {
  const run = found.run, open = run && ["queued", "running"].includes(run.state);
  const state = el("span", { class: "state" });
  if (open) {
    state.append(el("span", {}, stateWords(run), " "), el("button", {
      type: "button", "data-focus": "cancel", "aria-label": `cancel judging ${found.name}`,
      onclick: () => act(() => call("POST", `/api/runs/${run.id}/cancel`)),
    }, "Cancel"), bar(run, `${stateWords(run)}: ${found.name}`));
  }
  const ended = verdict(found);
  if (ended) state.prepend(ended, " ");
  else if (!open) state.append(run?.state === "failed" ? el("span", { class: "bad" }, `no verdict: ${run.message}`) : stateWords(run));
  const told = [`${found.notes} notes`, `${found.readings} readers`].filter((one) => !one.startsWith("0 "));
  return el("li", {},
    el("a", { class: "name", href: `/cases/${found.id}`, "data-focus": "open" }, found.name), state,
    el("span", { class: "facts" }, [moment(found.created), size(found.size_bytes), ...told].join(", ")));
}

async function refresh() {
  const query = new URLSearchParams({ limit: Math.min(shown, 500) });
  for (const [name, value] of new FormData(search)) if (value) query.set(name, value);
  const mine = looked += 1;
  clearTimeout(timer);
  let wait = IDLE_MS;
  try {
    const found = await call("GET", `/api/cases?${query}`);
    if (mine !== looked) return;
    fill(list, found.cases, (one) => one.id, item);
    const words = found.total === 1 ? "1 case" : `${found.total} cases`;
    const place = document.getElementById("found");
    if (place.textContent !== words) place.textContent = words;
    more.hidden = found.cases.length >= found.total || shown >= 500;
    if (found.active) wait = BUSY_MS;
    if (lost) tell("The server answers again.");
    lost = false;
  } catch (error) {
    if (mine !== looked) return;
    if (!lost) tell(error.message);
    lost = true;
  }
  timer = setTimeout(refresh, document.hidden ? IDLE_MS : wait);
}

async function act(what) {
  try {
    await what();
  } catch (error) {
    tell(error.message);
  }
  refresh();
}

async function detector() {
  let again = 1000;
  try {
    const { detector: found } = await call("GET", "/api/status"), place = document.getElementById("detector");
    const words = { loading: "Loading the detector ... Files can be dropped already.", ready: `Detector: ${found.line}.`, broken: `The detector cannot be loaded: ${found.problem}` }[found.state];
    const auc = found.state === "ready" && found.line.includes("AUC") ? [el("p", { class: "small" }, "AUC is how often, of a fake and a real video, the fake has the higher score: 0.5 is chance, 1 is always.")] : [];
    place.replaceChildren(...(found.warning ? [el("p", { class: "warning" }, found.warning)] : []), el("p", { class: found.state === "broken" ? "warning" : "small" }, words), ...auc);
    if (found.state !== "loading") again = 30000;
  } catch { /* the list says so */ }
  setTimeout(detector, again);
}

search.addEventListener("input", () => { shown = PAGE; clearTimeout(timer); timer = setTimeout(refresh, 200); });
search.addEventListener("submit", (event) => { event.preventDefault(); refresh(); });
more.addEventListener("click", () => { shown += PAGE; refresh(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
refresh();
detector();
