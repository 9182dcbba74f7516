// What is done to samples that were selected: moved, split off, merged, forgotten, and undone.

import { count, html, keep, listed, nothing, preview } from "../kit.js";
import { change, forget, isBusy, lastEdit, post } from "../edits.js";

const PICTURED = 12;
const MERGED = 20; // identities at a time: each is a call

/** The ids of what is selected. */
export const chosen = new Set();

const entry = { into: "" };

/** Whose the selected samples are: identity → ids. */
function owners(map) {
  const found = new Map();
  map.samples.forEach((sample, i) => {
    if (chosen.has(sample)) found.set(map.identities[i], [...found.get(map.identities[i]) ?? [], sample]);
  });
  return new Map([...found].sort((a, b) => b[1].length - a[1].length));
}

const move = (selected, into, told) => change(told, [...selected].filter(([identity]) => identity !== into)
  .map(([identity, samples]) => post("split", { identity, samples, into })));

const merge = (names, into) => change(`Merged ${names.join(", ")} into ${into}.`, names.map((from) => post("merge", { from, into })));

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
    ${lastEdit()}`;
}

const told = (selected) => chosen.size
  ? `${count(chosen.size, "sample")} selected, of ${[...selected].map(([name, samples]) => `${name} (${samples.length})`).slice(0, 8).join(", ")}${
    selected.size > 8 ? ` and ${selected.size - 8} more` : ""}.`
  : "Nothing is selected.";

function buttons(map, selected, names) {
  const into = entry.into.trim(), taken = new Set(map.identities);
  const moving = [...selected].reduce((sum, [name, samples]) => sum + (name === into ? 0 : samples.length), 0);
  const words = count(moving, "sample"), all = count(chosen.size, "sample"), tooMany = names.length > MERGED;
  const [whole, apart] = [map.identities.filter((name) => name === names[0]).length, free(names[0], taken)];
  return html`<form class="row" @submit=${(event) => {
    event.preventDefault();
    move(selected, into, taken.has(into) ? `Moved ${words} to ${into}.` : `Enrolled ${words} as ${into}.`);
  }}>
    <label class="field">Whose they are, new or known <input required maxlength="128" autocomplete="off" list="whose" .value=${entry.into}
      @input=${keep(entry, "into")}></label>
    <datalist id="whose">${[...new Set([...names, ...taken])].slice(0, 100).map((name) => html`<option value=${name}></option>`)}</datalist>
    <button class="first" aria-disabled=${isBusy()} ?disabled=${!into || !moving}>${!into ? "Move to…" : taken.has(into) ? `Move ${words} to ${into}` : `Enroll ${words} as ${into}`}</button>
  </form>
  <div class="row">
    ${names.length === 1 ? html`<button type="button" aria-disabled=${isBusy()} ?disabled=${chosen.size === whole}
      @click=${() => move(selected, apart, `Split off ${all} of ${names[0]} as ${apart}.`)}>Split off as ${apart}</button>`
    : html`<button type="button" aria-disabled=${isBusy() || tooMany} aria-describedby=${tooMany ? "too-many" : nothing}
      @click=${() => tooMany || merge(names.slice(1), names[0])}>Merge ${count(names.length, "identity", "identities")} into ${names[0]}</button>`}
    <button type="button" class="danger" aria-disabled=${isBusy()} @click=${() => forget(
      `${all} of ${listed(names)}`,
      [...selected].flatMap(([identity, samples]) => samples.map((sample) => [identity, "samples", sample])),
    )}>Forget ${all}</button>
    <button type="button" @click=${() => save(map, selected)}>Export ids</button>
  </div>
  ${tooMany ? html`<p class="hint" id="too-many">At most ${MERGED} identities are merged at a time; samples of ${names.length} are selected.</p>` : nothing}`;
}
