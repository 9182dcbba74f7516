// Many samples under names: nothing is sent before the button, and each file tells what became of it.

import {
  app, asCode, attempt, busyButton, callOnce, count, explained, form, gallery, galleryField, go,
  html, keep, listed, modalityOf, nothing, picture, problemBox, refresh, sentence, spoken, table, update,
} from "../kit.js";
import { box, paste as pasteInto, sampleInput } from "../inputs.js";
import { drawings, firstDrawings } from "../drawings.js";

export const title = "Enroll";

const MOST_FILES = 50; // in one request
const MOST_BYTES = 8 * 1024 * 1024; // of their files together
const SHOWN = 8; // pictures in a row

const samples = box("Samples");
const entry = { metadata: "", missing: "" };
const found = { busy: false, problem: null, stopped: false, told: "", waiting: "", call: null };
let groups = []; // who is to be enrolled: { name, items, sent, warnings, problem }

samples.onAdd = (items) => {
  for (const item of items) take(item.folder, item);
  samples.items = [];
  found.told = "";
};

/** Put a sample to those of its identity; of an unnamed one, to the ones that wait for a name. */
function take(name, item) {
  const open = groups.find((group) => group.given === name && !group.done);
  if (open) open.items.push(item);
  else groups.push({ name, given: name, items: [item], warnings: [], problem: null, done: false });
}

export const give = (name, item) => {
  if (!groups.some((group) => group.items.includes(item))) take(name, item);
};

/** Put the service's own drawings in the list; they are sent like any others. */
export const takeDrawings = () => attempt(found, async () => {
  for (const item of await firstDrawings()) {
    if (!groups.some((group) => group.items.some((each) => each.name === item.name))) take(item.folder, item);
  }
});

/** Whether nobody is enrolled yet, where drawings can be. */
export const wantsDrawings = () => gallery()?.identities === 0 && modalityOf("references") === "image";

export const paste = (event) => pasteInto(samples, event);

function takeTyped() {
  for (const line of samples.text.split("\n").map((each) => each.trim()).filter(Boolean)) {
    take("", { name: line, text: line });
  }
  samples.text = "";
}

const waiting = () => groups.filter((group) => !group.done);

function metadata() {
  if (!entry.metadata.trim()) return null;
  try {
    const value = JSON.parse(entry.metadata);
    if (value && typeof value === "object" && !Array.isArray(value)) return value;
  } catch { /* told below */ }
  return undefined;
}

function whatIsMissing() {
  if (!waiting().length) return "Choose some samples first.";
  if (waiting().some((group) => !group.name.trim())) return "Give every row a name.";
  if (metadata() === undefined) return 'Metadata is a JSON object, such as {"sound": "a"}, or empty.';
  return "";
}

function enrollAll() {
  takeTyped();
  entry.missing = whatIsMissing();
  update();
  if (entry.missing) return undefined;
  found.stopped = false;
  return attempt(found, async () => {
    const tally = { added: 0, duplicate: 0, refused: 0 };
    for (const group of waiting()) {
      for (const batch of batches(group.items.filter((item) => !item.outcome))) {
        if (found.stopped) break;
        await enroll(group, batch, tally);
      }
      group.done = group.items.every((item) => item.outcome);
    }
    found.told = told(tally);
    await refresh();
  });
}

const told = ({ added, duplicate, refused }) => [
  `${found.stopped ? "Stopped. " : ""}Enrolled: ${count(added, "sample")} added`,
  ...(duplicate ? [`${duplicate} there already`] : []),
  ...(refused ? [`${refused} refused`] : []),
].join(", ") + ".";

function* batches(items) {
  let batch = [], bytes = 0;
  for (const item of items) {
    const size = item.blob?.size ?? 0;
    if (batch.length && (batch.length === MOST_FILES || bytes + size > MOST_BYTES)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(item);
    bytes += size;
  }
  if (batch.length) yield batch;
}

async function enroll(group, batch, tally) {
  const described = metadata();
  const fields = [
    ["gallery", app.gallery],
    ["identity", group.name.trim()],
    ...(described ? [["metadata", JSON.stringify(described)]] : []),
    ...batch.map((item) => ["files", item]),
  ];
  found.call = spoken("POST", "enroll", fields, ["enroll", [group.name.trim(), batch], {
    gallery: app.gallery, metadata: described ?? undefined,
  }]);
  let answer;
  try {
    answer = await callOnce("enroll", form(fields), (problem) => {
      found.waiting = `${problem.title}; trying again…`;
      update();
    });
  } catch (problem) {
    // A batch that is refused whole for one file tells so of each; what is wrong with all stops.
    if (![413, 415, 422].includes(problem.status)) throw problem;
    if (batch.length > 1) group.problem = problem;
    for (const item of batch) item.outcome = { word: "refused", why: batch.length > 1 ? "" : explained(problem) };
    tally.refused += batch.length;
    return;
  } finally {
    found.waiting = "";
    update();
  }
  for (const sample of answer.samples) {
    const item = batch[sample.index];
    item.outcome = { word: sample.outcome, id: sample.id };
    if (item.url) app.pictures.set(`${answer.gallery}/${sample.id}`, item);
    tally[sample.outcome]++;
  }
  for (const { index, problem } of answer.failures) {
    batch[index].outcome = { word: "refused", why: explained(problem) };
    tally.refused++;
  }
  group.warnings.push(...answer.warnings.map((warning) => byName(warning, batch)));
  update();
}

/** Warnings count the samples of a request: say their names. */
const byName = (warning, batch) => warning.replace(/^sample (\d+)\b/, (all, i) => batch[i]?.name ?? all);

export const view = () => {
  const open = waiting();
  const total = open.reduce((sum, group) => sum + group.items.length, 0);
  const sent = groups.flatMap((group) => group.items).filter((item) => item.outcome).length;
  const all = groups.reduce((sum, group) => sum + group.items.length, 0);
  return html`
    <p class="lead">Samples whose identity you know. Of a folder, each folder in it is an identity; files beside these are left out. Nothing is sent before you press the button.</p>
    <div class="row">${galleryField()}</div>
    ${sampleInput(samples, modalityOf("references"), { folders: true, tiles: false })}
    ${!groups.length && wantsDrawings() ? html`<div class="row"><span class="hint">Nobody is enrolled here yet.</span>
      <button type="button" @click=${takeDrawings}>Begin with 20 sample drawings</button></div>` : nothing}
    ${groups.length ? table("To enroll", ["Identity", "Samples", "What became of them", ""], rows(), "stack") : nothing}
    <details class="field"><summary>Metadata</summary>
      <label class="field">A JSON object, given to each of them; empty: none
        <textarea rows="2" spellcheck="false" .value=${entry.metadata}
          @input=${keep(entry, "metadata")}></textarea></label>
    </details>
    <div class="row">
      ${busyButton(found, total ? `Enroll ${count(total, "sample")} of ${count(open.length, "identity", "identities")}` : "Enroll", enrollAll, "Enrolling…")}
      ${found.busy ? html`<button type="button" @click=${() => { found.stopped = true; update(); }}>Stop</button>
        <progress aria-label="Sent so far" max=${all} .value=${sent}></progress>` : nothing}
      ${groups.length && !found.busy ? html`<button type="button" @click=${() => {
        groups = [];
        found.told = "";
        update();
      }}>Clear the list</button>` : nothing}
      <span class="hint" role="alert">${entry.missing}</span>
    </div>
    ${problemBox(found.problem)}
    <p role="status" class="told">${found.waiting || found.told}</p>
    ${found.told && drawings.taken ? html`<div class="row"><button type="button" @click=${() => go("identify")}>Ask whose another drawing is</button></div>` : nothing}
    ${asCode(found.call)}`;
};

const rows = () => groups.map((group, i) => html`<tr>
    <th scope="row">${group.done ? group.name : html`<input aria-label="Identity of row ${i + 1}" autocomplete="off"
      placeholder="name" .value=${group.name}
      @input=${keep(group, "name", () => { entry.missing = ""; update(); })}>`}</th>
    <td><ul class="strip" aria-label="Chosen for row ${i + 1}">${group.items.slice(0, SHOWN).map((item) => html`<li title=${item.name}>${picture(item)}${
      item.url ? nothing : html`<span class="name">${item.name}</span>`}</li>`)}${
      group.items.length > SHOWN ? html`<li>+${group.items.length - SHOWN}</li>` : nothing}</ul></td>
    <td>${outcomes(group)}</td>
    <td>${group.done || found.busy ? nothing : html`<button type="button" class="small" aria-label="Leave out row ${i + 1}"
      @click=${() => { groups = groups.filter((each) => each !== group); update(); }}>×</button>`}</td>
  </tr>`);

function outcomes(group) {
  const words = { added: [], duplicate: [], refused: [] };
  for (const item of group.items) if (item.outcome) words[item.outcome.word].push(item);
  const open = group.items.length - words.added.length - words.duplicate.length - words.refused.length;
  return html`
    ${words.added.length ? html`<p><span class="good" aria-hidden="true">✓</span> ${words.added.length} added</p>` : nothing}
    ${words.duplicate.length ? html`<p>${words.duplicate.length} there already: ${listed(words.duplicate.map((item) => item.name))}</p>` : nothing}
    ${group.problem ? html`<p class="bad">${words.refused.length} refused: ${explained(group.problem)}</p>` : nothing}
    ${words.refused.filter((item) => item.outcome.why).map((item) => html`<p class="bad">${item.name}: refused. ${item.outcome.why}</p>`)}
    ${group.warnings.map((warning) => html`<p>Note: ${sentence(warning)}</p>`)}
    ${open ? html`<p class="hint">${count(open, "sample")} not sent yet</p>` : nothing}`;
}
