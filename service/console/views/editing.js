// Identities renamed, merged and split, what was rejected, and all of it undone.

import {
  app, attempt, call, count, day, get, html, keep, nothing, path, preview, problemBox, rate, score, update,
} from "../kit.js";
import { change, patch, post, undo } from "../edits.js";

const history = { busy: false, problem: null, of: null, edits: [], rejections: [] };
const open = { who: null, name: "", into: "", to: "", chosen: new Set(), similar: null };

export function readHistory() {
  const name = app.gallery;
  return attempt(history, async () => {
    const [{ edits }, { rejections }] = await Promise.all([
      get(path("galleries", name, "edits")), get(path("galleries", name, "rejections")),
    ]);
    Object.assign(history, { of: name, edits, rejections });
  });
}

/** Whether an edit was not undone. */
export const stands = (version) => history.edits.some((each) => each.version === version);

/** Do an edit, and close the controls; give the version that undoes it, null where it failed. */
const edit = (told, step) => change(told, [async () => {
  const done = await step();
  open.who = null;
  return done;
}]);

const rename = (who, name) => edit(`Renamed ${who} to ${name}.`, patch(["identities", who], { name }, (each) => each.to === name));

export const merge = (from, into) => edit(`Merged ${from} into ${into}.`, post("merge", { from, into }));

export const move = (identity, samples, into) => edit(
  `Moved ${count(samples.length, "sample")} of ${identity} to ${into}.`, post("split", { identity, samples, into }),
);

const takeBack = (id) => change("Taken back.", [() => call("DELETE", path("galleries", app.gallery, "rejections", id))], false);

/** Open the controls of one identity, or close them. */
export async function toggle(who) {
  if (open.who === who) {
    open.who = null;
    return update();
  }
  Object.assign(open, { who, name: who, into: "", to: "", chosen: new Set(), similar: null });
  update();
  try {
    const found = await get(path("galleries", app.gallery, "identities", who, "similar"));
    if (open.who === who) open.similar = found.similar;
  } catch {
    open.similar = []; // this key may not see it: any name can still be typed
  }
  update();
}

export const isOpen = (who) => open.who === who;

const submit = (task) => (event) => {
  event.preventDefault();
  task();
};

/** The controls of an open identity. */
export const controls = (each) => html`<div class="panel edit">
  <form class="row" @submit=${submit(() => rename(each.identity, open.name.trim()))}>
    <label class="field">New name of ${each.identity} <input required maxlength="128" autocomplete="off"
      .value=${open.name} @input=${keep(open, "name")}></label>
    <button ?disabled=${!open.name.trim() || open.name.trim() === each.identity}>Rename</button>
  </form>
  <form class="row" @submit=${submit(() => merge(each.identity, open.into.trim()))}>
    <label class="field">Merge ${each.identity} into <input required maxlength="128" autocomplete="off"
      list="similar" .value=${open.into} @input=${keep(open, "into")}></label>
    <button ?disabled=${!open.into.trim() || open.into.trim() === each.identity}>Merge</button>
  </form>
  ${similar(each)}
  ${each.samples.length ? html`<form class="row" @submit=${submit(() => move(each.identity, [...open.chosen], open.to.trim()))}>
    <fieldset class="samples"><legend>Samples of ${each.identity}</legend><ul class="tiles">${each.samples.map((sample) => html`<li class="tile"><label class="check">
      <input type="checkbox" .checked=${open.chosen.has(sample.id)} @change=${(event) => {
        if (event.target.checked) open.chosen.add(sample.id);
        else open.chosen.delete(sample.id);
        update();
      }}>${preview(app.gallery, each.identity, sample.id)} sample ${sample.id}</label></li>`)}</ul></fieldset>
    <label class="field">Move them to, new or known <input required maxlength="128" autocomplete="off"
      list="similar" .value=${open.to} @input=${keep(open, "to")}></label>
    <button ?disabled=${!open.chosen.size || !open.to.trim() || open.to.trim() === each.identity}>Move ${count(open.chosen.size, "sample")}</button>
  </form>` : nothing}
  ${past(each)}
</div>`;

/** What was done to an identity, as far as it is remembered. */
const past = ({ identity, samples }) => history.of !== app.gallery ? nothing : html`<p class="hint">History of ${identity}:</p>
  <ul class="plain" aria-label="History of ${identity}">${samples.length ? html`<li>First of its samples enrolled <span class="hint">${
    day(samples.map((sample) => sample.created).sort()[0])}</span></li>` : nothing}
  ${history.edits.filter(({ identity: whose, other, name, to }) => [whose, other, name, to].includes(identity))
    .map((edit) => html`<li>${described(edit)}</li>`)}
  ${history.rejections.filter((each) => each.identity === identity).map((each) => html`<li>${rejected(each)}</li>`)}</ul>`;

const similar = (each) => open.similar === null ? html`<p class="hint">Looking for who is alike…</p>`
  : open.similar.length ? html`<p class="hint">Most alike first:</p>
    <datalist id="similar">${open.similar.map((other) => html`<option value=${other.identity}></option>`)}</datalist>
    <ul class="plain row">${open.similar.map((other) => html`<li><button type="button" class="small"
      @click=${() => { open.into = other.identity; update(); }}>${other.identity} ${score(other.score)}</button></li>`)}</ul>`
  : nothing;

/** Everything that can be undone or taken back. */
export const pastEdits = () => history.of !== app.gallery ? nothing : html`
  <details class="panel"><summary>What can be undone (${history.edits.length + history.rejections.length})</summary>
  ${problemBox(history.problem)}
  <ul class="review">${history.edits.map((each) => html`<li class="row"><span>${described(each)}</span>
    <button type="button" class="small" aria-label="Undo version ${each.version}" @click=${() => undo([each.version])}>Undo</button></li>`)}
  ${history.rejections.map((each) => html`<li class="row"><span>${rejected(each)}</span>
    <button type="button" class="small" aria-label="Take back that it is not ${each.identity}" @click=${() => takeBack(each.id)}>Take back</button></li>`)}</ul>
  ${history.edits.length + history.rejections.length ? nothing : html`<p class="hint">Nothing.</p>`}</details>`;

const described = (edit) => html`${done(edit)} <span class="hint">${day(edit.at)}</span>`;

const rejected = (each) => html`A probe was said not to be <b>${each.identity}</b> <span class="hint">${day(each.created)}</span>`;

function done(edit) {
  switch (edit.operation) {
    case "rename":
      return html`<b>${edit.name}</b> was renamed to <b>${edit.to}</b>`;
    case "merge":
      return html`<b>${edit.name}</b> was merged into <b>${edit.identity ?? "somebody"}</b>: ${count(edit.samples.length, "sample")}`;
    case "split":
      return html`${count(edit.samples.length, "sample")} of <b>${edit.identity ?? "somebody"}</b> went to <b>${edit.other ?? "somebody"}</b>`;
    default:
      return html`Settings changed: ${["rule", "target_fpir", "prior_known"].filter((name) => edit.before[name] !== edit.after[name])
        .map((name) => `${name} from ${told(edit.before[name])} to ${told(edit.after[name])}`).join(", ")}`;
  }
}

const told = (value) => value === null ? "the usual" : typeof value === "number" ? rate(value) : value;
