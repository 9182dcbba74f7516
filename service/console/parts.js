// Small pieces of page that several views show.

import { html, nothing } from "./vendor/lit-html-3.3.3.js";
import { app, gallery, refresh, update } from "./app.js";
import { advice, sentence } from "./words.js";

export const problemBox = (problem) => problem
  ? html`<div class="problem" role="alert">
      <p><strong>${problem.title}</strong></p>
      ${problem.detail && problem.detail !== problem.title ? html`<p>${sentence(problem.detail)}</p>` : nothing}
      ${advice(problem) ? html`<p>${advice(problem)}</p>` : nothing}
    </div>`
  : nothing;

/** Choose the gallery that a view is about. */
export const galleryField = () => html`<div class="field"><label for="gallery">Gallery</label>
  ${app.galleries
    ? html`<select id="gallery" @change=${(event) => choose(event.target.value)}>
        ${app.galleries.map((each) => html`<option value=${each.name}
          .selected=${each.name === app.gallery}>${each.name}</option>`)}
      </select>`
    : html`<input id="gallery" .value=${app.gallery} autocomplete="off"
        @change=${(event) => choose(event.target.value.trim())}>`}
</div>`;

function choose(name) {
  app.gallery = name;
  update();
  app.onGallery();
  refresh();
}

/** What a gallery takes on one side; null where it is not known, so that all is offered. */
export const modalityOf = (side) => gallery()?.modalities[side] ?? null;

export const busyButton = (place, text, action, doing = "Working…") => html`<button
  class="first" type="button" aria-disabled=${place.busy ? "true" : "false"}
  @click=${() => place.busy || action()}>${place.busy ? doing : text}</button>`;

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
