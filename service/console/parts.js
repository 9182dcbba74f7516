// Small pieces of page that several views show.

import { html, nothing } from "./vendor/lit-html-3.3.3.js";
import { getBlob, path } from "./api.js";
import { app, gallery, refresh, update } from "./app.js";
import { advice, sentence } from "./words.js";

export const problemBox = (problem) => problem
  ? html`<div class="problem" role="alert">
      <p><strong>${problem.title}</strong></p>
      ${problem.detail && problem.detail !== problem.title ? html`<p>${sentence(problem.detail)}</p>` : nothing}
      ${advice(problem) ? html`<p>${advice(problem)}</p>` : nothing}
    </div>`
  : nothing;

/** Have a field's value kept in a place, and then something done. */
export const keep = (place, name, then = update) => (event) => {
  place[name] = event.target.value;
  then();
};

/** A list to choose from, each item as [value, words], or [value] where that says it. */
export const choice = (id, label, chosen, options, onChange) => html`<div class="field"><label for=${id}>${label}</label>
  <select id=${id} @change=${onChange}>${options.map(([value, words = value]) => html`
    <option value=${value} .selected=${value === chosen}>${words}</option>`)}</select></div>`;

/** Choose the gallery that a view is about. */
export const galleryField = () => app.galleries
  ? choice("gallery", "Gallery", app.gallery, app.galleries.map(({ name }) => [name]), choose)
  : html`<label class="field">Gallery <input .value=${app.gallery} autocomplete="off" @change=${choose}></label>`;

function choose(event) {
  app.gallery = event.target.value.trim();
  update();
  app.enter();
  refresh();
}

/** What a gallery takes on one side; null where it is not known, so that all is offered. */
export const modalityOf = (side) => gallery()?.modalities[side] ?? null;

export const busyButton = (place, text, action, doing = "Working…") => html`<button
  class="first" type="button" aria-disabled=${place.busy ? "true" : "false"}
  @click=${() => place.busy || action()}>${place.busy ? doing : text}</button>`;

/** What is said of something: [term, text], or nothing. */
export const facts = (rows) => html`<dl>${rows.filter(Boolean).map(([term, text]) => html`<div><dt>${term}</dt><dd>${text}</dd></div>`)}</dl>`;

/** A table that is scrolled by itself where it is too wide; a column is its heading, or none. */
export const table = (label, columns, rows, style = "") => html`<div class="wide" tabindex="0" role="region" aria-label=${label}><table class=${style}>
  <thead><tr>${columns.map((column) => column ? html`<th scope="col">${column}</th>` : html`<td></td>`)}</tr></thead>
  <tbody>${rows}</tbody></table></div>`;

export const picture = (item) => item.url
  ? html`<img src=${item.url} alt="" loading="lazy">`
  : html`<span class="glyph" aria-hidden="true">${glyph(item)}</span>`;

const glyph = (item) => item.text !== undefined ? "¶" : item.blob.type.startsWith("audio/") ? "♪" : "▤";

/** The fields of a request as a form: samples go as files, or as text. */
export function form(fields) {
  const body = new FormData();
  for (const [name, value] of fields) {
    if (value.blob) body.append(name, value.blob, value.name);
    else body.append(name, value.text ?? value);
  }
  return body;
}

// What enrolled samples look like: as they were put in from this tab, or as the service shows them again.

const AT_ONCE = 4;

const waiting = []; // [key, path], the last asked for first
const asked = new Set();
let busy = 0;

/** The picture of a sample, or a placeholder until it is there; none where nothing is kept. */
export function preview(gallery, identity, sample) {
  const key = `${gallery}/${sample}`;
  const shown = app.pictures.get(key);
  if (shown) return shown.text === undefined ? picture(shown) : html`<q class="text">${shown.text}</q>`;
  const kept = app.galleries?.find((each) => each.name === gallery)?.keep_samples;
  if (kept && !asked.has(key)) {
    asked.add(key);
    waiting.push([key, path("galleries", gallery, "identities", identity, "samples", sample, "preview")]);
    queueMicrotask(work);
  }
  return html`<span class="glyph" aria-hidden="true">${kept ? "…" : "·"}</span>`;
}

async function work() {
  if (busy >= AT_ONCE || !waiting.length) return;
  busy++;
  const [key, where] = waiting.pop();
  try {
    const blob = await getBlob(where);
    app.pictures.set(key, blob.type.startsWith("text/")
      ? { text: await blob.text() } : { blob, url: URL.createObjectURL(blob) });
    update();
  } catch {
    // nothing is kept of it, or this key may not see it: the placeholder stays
  } finally {
    busy--;
    work();
  }
}
