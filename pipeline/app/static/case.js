// One case: its progress, its player, notes, readers, case files, deletion.

import { BoxDrawing } from "./box.js";
import { call } from "./api.js";
import { bar, el, fill, moment, stateWords, tell } from "./dom.js";
import { Player } from "./player.js";

const BUSY_MS = 800, IDLE_MS = 15000;
const facts = document.getElementById("case").dataset;
const own = `/api/cases/${facts.case}`;
const progress = document.getElementById("progress");
let timer = 0, open = null;

async function act(what, words = "") {
  try {
    const answer = await what();
    if (words) tell(words);
    return answer;
  } catch (error) {
    tell(error.message);
    return null;
  } finally {
    refresh();
  }
}

function onSubmit(name, send) {
  const form = document.getElementById(name);
  form?.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("[type=submit]");
    button.disabled = true;
    if (await send(Object.fromEntries(new FormData(form)))) form.reset();
    button.disabled = false;
  });
}

function confirmed(heading, text, yes) {
  const dialog = document.getElementById("confirm");
  document.getElementById("confirm-heading").textContent = heading;
  document.getElementById("confirm-text").textContent = text;
  document.getElementById("confirm-yes").textContent = yes;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

function entry(who, text) {
  return el("li", {}, el("span", { class: "who" }, who), el("p", { class: "text" }, text));
}

function runLine(run) {
  const what = run.kind === "export" ? "case file" : "verdict";
  const parts = [`${moment(run.queued)}: ${what}${run.box ? `, face in the box ${run.box}` : ""}: ${stateWords(run)}`];
  if (run.verdict) parts.push(`, ${run.verdict}, P(fake) ${run.probability_fake.toFixed(3)}`);
  if (run.message) parts.push(`: ${run.message}`);
  const line = el("li", {}, parts.join(""));
  if (run.kind === "verdict" && run.verdict && run.id !== facts.shown) line.append(" ", el("a", { href: `/cases/${facts.case}?run=${run.id}` }, "show this one"));
  if (run.kind === "export" && run.state === "done") line.append(" ", el("a", { href: `/api/runs/${run.id}/case.zip`, download: "" }, `Save the case file of ${moment(run.queued)}`));
  return line;
}

function show(found) {
  const running = found.runs.filter((one) => ["queued", "running"].includes(one.state));
  open = running[0] ?? null;
  progress.hidden = !open;
  if (open) {
    const words = `${open.kind === "export" ? "Case file" : "Verdict"}: ${stateWords(open)}`, run = open.id;
    const button = progress.querySelector("button") ?? el("button", { type: "button", onclick: () => act(() => call("POST", `/api/runs/${progress.dataset.run}/cancel`)) }, "Cancel");
    progress.dataset.run = run;
    const line = progress.querySelector("p") ?? el("p", {}, el("span", { role: "status" }), button);
    line.firstChild.textContent = words;
    if (!line.isConnected) progress.append(line);
    progress.querySelector("progress")?.remove();
    progress.append(bar(open, words));
  }
  fill(document.getElementById("notes"), found.note_list, (one) => `${one.at}`, (one) => entry(`${one.author}, ${moment(one.at)}`, one.text));
  const readings = document.getElementById("readings");
  if (readings) fill(readings, found.reading_list, (one) => `${one.at}`, (one) => entry(`${one.reader}, ${moment(one.at)}${one.blind ? ", without seeing any other verdict" : ""}`, `${one.verdict}${one.text ? `: ${one.text}` : ""}`));
  const exports = document.getElementById("exports");
  if (exports) fill(exports, found.runs.filter((one) => one.kind === "export"), (one) => one.id, runLine);
  fill(document.getElementById("runs"), found.runs.filter((one) => one.kind === "verdict"), (one) => one.id, runLine);
  fill(document.getElementById("events"), found.events, (one) => `${one.at}${one.text}`, (one) => el("li", {}, `${moment(one.at)}: ${one.text}`));
  renew(found);
}

// The page is made anew when a verdict is there that it does not show; what is being typed is not lost.
function renew(found) {
  if (new URLSearchParams(location.search).has("run")) return;
  const newest = found.runs.find((one) => one.kind === "verdict");
  const changed = found.blind !== (facts.blind === "yes")
    || (newest?.verdict && newest.id !== facts.shown)
    || (newest?.id === facts.shown && newest.state === "done" && facts.complete === "no")
    || (newest?.state === "failed" && facts.shown === "" && !document.getElementById("failure") && !found.blind);
  const typing = [...document.querySelectorAll("textarea")].some((one) => one.value.trim());
  if (changed && !typing) location.reload();
  else if (changed) tell("There is something new; reload the page when you have entered your text.");
}

async function refresh() {
  clearTimeout(timer);
  try {
    show(await call("GET", own));
  } catch (error) {
    if (error.status === 404) return location.assign("/");
    tell(error.message);
  }
  timer = setTimeout(refresh, open ? BUSY_MS : IDLE_MS);
}

onSubmit("note-form", (given) => act(() => call("POST", `${own}/notes`, given), "The note was added."));
onSubmit("reading-form", (given) => act(() => call("POST", `${own}/readings`, given), "Your verdict was entered."));
onSubmit("blind-form", (given) => act(() => call("POST", `${own}/readings`, given)));
onSubmit("export-form", (given) => act(() => call("POST", `${own}/export`, given.by.trim() ? given : {}), "The case file is being made."));
document.getElementById("again").addEventListener("click", () => act(() => call("POST", `${own}/runs`, {}), "It is judged again."));
document.getElementById("blind")?.addEventListener("click", () => act(() => call("POST", `${own}/blind`, { blind: true })));
document.getElementById("unblind")?.addEventListener("click", async () => {
  if (await confirmed("Show the verdict?", "No second reading without seeing it is possible for you then. This is recorded.", "Show it")) act(() => call("POST", `${own}/blind`, { blind: false }));
});
document.getElementById("delete").addEventListener("click", async () => {
  if (!(await confirmed("Delete this case?", "The file, its verdicts, notes and readers are removed from this machine for good. Case files that you saved elsewhere stay.", "Delete it"))) return;
  clearTimeout(timer); // what is deleted must not be asked for again
  try {
    await call("DELETE", `${own}?confirm=${facts.sha256.slice(0, 8)}`);
    location.assign("/");
  } catch (error) {
    tell(error.message);
    refresh();
  }
});

async function play() {
  const found = await call("GET", own).catch(() => null);
  const run = facts.shown || found?.runs.find((one) => one.kind === "verdict" && one.state === "done")?.id;
  const timeline = run ? await call("GET", `/api/runs/${run}/timeline`).catch(() => null) : null;
  new BoxDrawing(new Player(timeline), (box) => act(() => call("POST", `${own}/runs`, { box }), "The face in the box is judged."));
}

play();
refresh();
