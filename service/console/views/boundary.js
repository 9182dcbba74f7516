// Who comes nearest to a threshold, on either side: the enrolled left out, and strangers.

import { html, nothing } from "../vendor/lit-html-3.3.3.js";
import { Problem, get, path } from "../api.js";
import { app, go, update } from "../app.js";
import { problemBox } from "../parts.js";
import { preview } from "../previews.js";
import { count, score } from "../words.js";
import { lookFor } from "./gallery.js";

const EACH = 6;
const PAUSE = 150; // milliseconds that the slider rests before its neighbours are asked for

const found = { problem: null, answer: null, of: null, timer: 0 };

const key = (curve, point) => `${curve.gallery} ${curve.version} ${point.target_fpir}`;

/** Ask who is near at a point of a curve, once it stays chosen. */
export function lookAt(curve, point) {
  clearTimeout(found.timer);
  if (found.of === key(curve, point) || !curve.identities || point.strangers_needed !== null) return;
  found.timer = setTimeout(() => ask(curve, point), found.of ? PAUSE : 0);
}

async function ask(curve, point) {
  const of = found.of = key(curve, point);
  const told = { problem: null, answer: null };
  try {
    const place = path("galleries", curve.gallery, "operating-curve", "boundary");
    told.answer = await get(`${place}?target_fpir=${point.target_fpir}&limit=${EACH}`);
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    told.problem = problem;
  }
  if (of !== found.of) return; // another is looked at by now
  Object.assign(found, told);
  update();
}

/** Show who is near, if it is known; what was found for another point is not shown for this. */
export function boundary(curve, point) {
  if (!curve.identities || point.strangers_needed !== null) return nothing;
  const answer = found.of === key(curve, point) ? found.answer : null;
  return html`<section aria-label="Nearest to the threshold" aria-busy=${answer ? "false" : "true"}>
    <h2>Nearest to the threshold</h2>
    ${found.of === key(curve, point) ? problemBox(found.problem) : nothing}
    ${answer ? lists(answer) : html`<p class="hint">…</p>`}
  </section>`;
}

const lists = (answer) => html`
  <p class="hint">Of ${count(answer.enrolled.tried, "enrolled sample")}, each left out and looked for by the others of its identity:</p>
  <div class="sides">
    ${list("Enrolled, just found", answer.enrolled.above, enrolled)}
    ${list("Enrolled, just missed", answer.enrolled.below, enrolled)}
  </div>
  <p class="hint">Of ${count(answer.strangers.tried, "stranger")}: those of the ${answer.source === "bundle"
    ? "bundle’s cohort" : "gallery’s own cohort"}, of whom there are no pictures, ${answer.source === "bundle"
    ? "and enrolled samples as if nothing else of their identity were" : "as only their embeddings are kept"}.</p>
  <div class="sides">
    ${list("Strangers, just named", answer.strangers.above, stranger)}
    ${list("Strangers, just not named", answer.strangers.below, stranger)}
  </div>`;

const list = (heading, trials, row) => html`<div><h3>${heading}</h3>${trials.length
  ? html`<ul class="near">${trials.map((each) => html`<li>${row(each)}</li>`)}</ul>` : html`<p class="hint">None.</p>`}</div>`;

const enrolled = (each) => html`${pictured(each)}
  <span><b>${score(each.score)}</b> ${named(each.identity)} <span class="hint">sample ${each.sample}${
    each.outcome === "another" ? `, taken for ${each.rival} with ${score(each.rival_score)}` : ""}</span></span>`;

const stranger = (each) => html`${each.sample === null
  ? html`<span class="glyph" aria-hidden="true">?</span>` : pictured(each)}
  <span><b>${score(each.score)}</b> ${each.sample === null ? `Stranger ${each.stranger}`
    : html`${named(each.identity)} <span class="hint">sample ${each.sample}</span>`}
    <span class="hint">like</span> ${named(each.nearest)}</span>`;

const pictured = (each) => preview(app.gallery, each.identity, each.sample);

const named = (identity) => html`<button type="button" class="small" @click=${() => {
  lookFor(identity);
  go("gallery");
}}>${identity}</button>`;
