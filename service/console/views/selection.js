// What is done to samples that were selected: moved, split off, merged, forgotten, and undone.

import {
  app, ask, attempt, call, callOnce, count, html, nothing, path, preview, problemBox, refresh,
  update,
} from "../kit.js";
import { forgetReceipt, readReceipt, receiptCard } from "../receipts.js";

const PICTURED = 12;

/** The ids of what is selected. */
export const chosen = new Set();

const made = { busy: false, problem: null, told: "", of: null, versions: [], doing: "", into: "" };

let mended = () => {};

/** Have a task done after each change. */
export const onMended = (task) => { mended = task; };

/** Do changes one after the other; tell what was done, also where one fails. */
const change = (told, steps, undoable) => attempt(made, async () => {
  const of = app.gallery, versions = [];
  Object.assign(made, { told: "", of, versions: [] });
  forgetReceipt();
  try {
    for (const step of steps) {
      made.doing = steps.length > 1 ? `${versions.length} of ${steps.length} done…` : "";
      update();
      versions.push((await step()).version);
    }
  } finally {
    if (undoable) made.versions = versions;
    if (versions.length) made.told = versions.length === steps.length ? told : `${versions.length} of ${steps.length} were done.`;
    made.doing = "";
    await Promise.all([refresh(), mended()]);
  }
  return versions;
});

const post = (what, fields) => callOnce(path("galleries", app.gallery, what), fields);

/** Whose the selected samples are: identity → ids. */
function owners(map) {
  const found = new Map();
  map.samples.forEach((sample, i) => {
    if (chosen.has(sample)) found.set(map.identities[i], [...found.get(map.identities[i]) ?? [], sample]);
  });
  return new Map([...found].sort((a, b) => b[1].length - a[1].length));
}

const move = (selected, into, told) => change(told, [...selected].filter(([identity]) => identity !== into)
  .map(([identity, samples]) => () => post("split", { identity, samples, into })), true);

const merge = (names, into) => change(`Merged ${names.join(", ")} into ${into}.`,
  names.map((from) => () => post("merge", { from, into })), true);

const undo = () => change("Undone.", made.versions.toReversed().map((version) => () => post("undo", { version })), false);

async function forget(selected) {
  const words = count(chosen.size, "sample");
  const yes = await ask({
    title: `Forget ${words}?`,
    text: `Of ${[...selected.keys()].join(", ")}, in gallery ${app.gallery}: deleted for good, and found no more from that moment on. This cannot be undone.`,
    confirm: "Forget",
  });
  if (!yes) return;
  let last = null;
  await change(`Forgot ${words}.`, [...selected].flatMap(([identity, samples]) => samples.map((sample) => async () => {
    last = await call("DELETE", path("galleries", app.gallery, "identities", identity, "samples", sample));
    return last;
  })), false);
  if (last) await readReceipt(app.gallery, last.version, words);
}

function save(map, selected) {
  const rows = [...selected].flatMap(([identity, samples]) => samples.map((sample) => ({ gallery: map.gallery, identity, sample })));
  const url = URL.createObjectURL(new Blob([JSON.stringify(rows, null, 1)], { type: "application/json" }));
  Object.assign(document.createElement("a"), { href: url, download: `${map.gallery}-samples.json` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

/** A name like this one that nobody has. */
function free(name, taken) {
  let i = 2;
  while (taken.has(`${name}-${i}`)) i++;
  return `${name}-${i}`;
}

/** What is selected, and all that can be done to it. */
export function acts(map) {
  const selected = owners(map), names = [...selected.keys()];
  return html`
    <div role="status" class="told">${told(selected)}</div>
    <ul class="tiles">${[...selected].flatMap(([identity, samples]) => samples.map((sample) => [identity, sample])).slice(0, PICTURED)
      .map(([identity, sample]) => html`<li class="tile">${preview(map.gallery, identity, sample)}<span class="name">${sample}, ${identity}</span></li>`)}${
      chosen.size > PICTURED ? html`<li class="hint">and ${chosen.size - PICTURED} more</li>` : nothing}</ul>
    ${chosen.size ? buttons(map, selected, names) : nothing}
    ${problemBox(made.problem)}
    <div role="status">${made.of === app.gallery ? html`${made.doing}${made.told ? html`<p class="row"><span>${made.told}</span>
      ${made.versions.length ? html`<button type="button" @click=${undo}>Undo</button>` : nothing}</p>` : nothing}
      ${receiptCard()}` : nothing}</div>`;
}

const told = (selected) => chosen.size
  ? `${count(chosen.size, "sample")} selected, of ${[...selected].map(([name, samples]) => `${name} (${samples.length})`).slice(0, 8).join(", ")}${
    selected.size > 8 ? ` and ${selected.size - 8} more` : ""}.`
  : "Nothing is selected.";

function buttons(map, selected, names) {
  const into = made.into.trim(), taken = new Set(map.identities);
  const moving = [...selected].reduce((sum, [name, samples]) => sum + (name === into ? 0 : samples.length), 0);
  const words = count(moving, "sample");
  const [whole, apart] = [map.identities.filter((name) => name === names[0]).length, free(names[0], taken)];
  return html`<form class="row" @submit=${(event) => {
    event.preventDefault();
    move(selected, into, taken.has(into) ? `Moved ${words} to ${into}.` : `Enrolled ${words} as ${into}.`);
  }}>
    <label class="field">Whose they are, new or known <input required maxlength="128" autocomplete="off" list="whose" .value=${made.into}
      @input=${(event) => { made.into = event.target.value; update(); }}></label>
    <datalist id="whose">${[...new Set([...names, ...taken])].slice(0, 100).map((name) => html`<option value=${name}></option>`)}</datalist>
    <button class="first" ?disabled=${made.busy || !into || !moving}>${!into ? "Move to…" : taken.has(into) ? `Move ${words} to ${into}` : `Enroll ${words} as ${into}`}</button>
  </form>
  <div class="row">
    ${names.length === 1 ? html`<button type="button" ?disabled=${made.busy || chosen.size === whole}
      @click=${() => move(selected, apart, `Split off ${count(chosen.size, "sample")} of ${names[0]} as ${apart}.`)}>Split off as ${apart}</button>`
    : html`<button type="button" ?disabled=${made.busy || names.length > 20}
      @click=${() => merge(names.slice(1), names[0])}>Merge ${count(names.length, "identity", "identities")} into ${names[0]}</button>`}
    <button type="button" class="danger" ?disabled=${made.busy} @click=${() => forget(selected)}>Forget ${count(chosen.size, "sample")}</button>
    <button type="button" @click=${() => save(map, selected)}>Export ids</button>
  </div>`;
}
