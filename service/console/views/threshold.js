// What a rate costs: a slider over the strangers that may be named, and the enrolled that it misses.

import {
  app, attempt, count, facts, galleryField, get, go, html, judges, missRate, nothing, ofWhom, path, preview,
  problemBox, rate, score, span, toRead, update,
} from "../kit.js";
import { change, lastEdit, patch } from "../edits.js";
import { figures, plot } from "../lines.js";
import { lookFor } from "./gallery.js";
import { asked } from "./identify.js";

export const title = "Threshold";

const found = { busy: false, problem: null, curve: null, chosen: 0, of: null };

/** Read the curve of the gallery as it is now. */
export function enter() {
  found.busy = false; // whatever was asked of another gallery
  return attempt(found, async () => {
    const name = app.gallery;
    const curve = await get(`${path("galleries", name, "operating-curve")}`);
    if (name !== app.gallery) return;
    const before = found.of === name ? found.curve?.points[found.chosen]?.target_fpir : undefined;
    const at = curve.points.findIndex((point) => point.target_fpir === (before ?? curve.target_fpir));
    Object.assign(found, { curve, of: name, chosen: Math.max(at, 0) });
    lookAt(curve, curve.points[found.chosen]);
  });
}

function choose(curve, at) {
  found.chosen = at;
  lookAt(curve, curve.points[at]);
  update();
}

const makeDefault = (name, target) => change(
  `From now on at most ${rate(target)} of strangers are named in ${name}, unless asked otherwise.`,
  [patch([], { target_fpir: target }, (each) => each.operation === "patch")],
);

export const view = () => {
  const curve = found.of === app.gallery ? found.curve : null;
  return html`
    <p class="lead">How many strangers may be named, and how many of the enrolled that would miss: in this gallery, now.</p>
    <div class="row">${galleryField()}</div>
    ${problemBox(found.problem)}
    ${curve ? slider(curve) : html`<p role="status">${found.busy ? "Working it out…" : ""}</p>`}
    ${toRead(path("galleries", app.gallery, "operating-curve"), "get_operating_curve", [app.gallery])}`;
};

const slider = (curve) => {
  const point = curve.points[found.chosen];
  return html`
    <label class="field">Strangers that may be named
      <input type="range" min="0" max=${curve.points.length - 1} step="1" .value=${String(found.chosen)}
        aria-valuetext=${rate(point.target_fpir)}
        @input=${(event) => choose(curve, Number(event.target.value))}></label>
    <div role="status" class="card ${point.strangers_needed === null ? "" : "greyed"}"><div class="told">
      <p class="outcome">${rate(point.target_fpir)}${point.target_fpir === curve.target_fpir ? html` <span class="hint">as this gallery has it</span>` : nothing}</p>
      ${described(curve, point)}
    </div></div>
    ${curve.identities ? chart(curve, point) : nothing}
    <div class="row"><button type="button" @click=${() => {
      asked.percent = String(Number((point.target_fpir * 100).toPrecision(12)));
      go("identify");
    }}>Identify at ${rate(point.target_fpir)}</button>
    <button type="button" ?disabled=${point.target_fpir === curve.target_fpir || point.strangers_needed !== null}
      @click=${() => makeDefault(curve.gallery, point.target_fpir)}>Make ${rate(point.target_fpir)} the default</button></div>
    ${lastEdit()}
    <p class="hint">It rests on ${judges(curve)}, enough to tell rates from ${rate(curve.resolvable_from)} on.
      ${count(curve.identities, "identity is", "identities are")} enrolled, at version ${curve.version}; scores by rule ${curve.rule}.
      ${point.expected_fnir === null ? "" : missed(curve)}</p>
    ${table(curve)}
    ${boundary(curve, point)}`;
};

function described(curve, point) {
  if (point.strangers_needed !== null) {
    return html`<p>${judges(curve)} cannot tell ${rate(point.target_fpir)} from none:
      it would take a cohort of ${count(point.strangers_needed, "stranger")}. Give the gallery one with
      <code>POST /galleries/${curve.gallery}/cohort</code>.</p>`;
  }
  if (!curve.identities) return html`<p>Nobody is enrolled yet, so there is no threshold.</p>`;
  return facts([
    ["A match needs", html`<b>${score(point.threshold)}</b>`],
    ["Strangers really named", `${span(point.fpir_interval)}, in 95 % of cases${ofWhom(curve)}`],
    ["Enrolled that are missed", missRate(point, point.fnir_interval)],
  ]);
}

const missed = (curve) => curve.genuine_trials < 10
  ? "How surely so many are missed is not known: that takes 10 identities with a second sample."
  : `Misses are counted on ${count(curve.genuine_trials, "identity", "identities")}: one sample of each, left out and looked for by its others.`;

const SHARES = [0, 0.25, 0.5, 0.75, 1];

const chart = (curve, chosen) => {
  const of = (told) => curve.points.map(told);
  const from = curve.points[0].target_fpir;
  return plot({
    label: "Strangers named, enrolled missed and score needed, by the strangers that may be named",
    at: of((point) => point.target_fpir),
    lines: [
      { name: "strangers named, with what 95\u00a0% of cases lie between",
        values: of((point) => point.fpir_interval && point.target_fpir),
        lower: of((point) => point.fpir_interval?.[0] ?? null), upper: of((point) => point.fpir_interval?.[1] ?? null) },
      { name: "enrolled that are missed, likewise", values: of((point) => point.expected_fnir),
        lower: of((point) => point.fnir_interval?.[0] ?? null), upper: of((point) => point.fnir_interval?.[1] ?? null) },
      { name: "score that a match needs", values: of((point) => point.threshold), dashed: true },
    ],
    x: { from, to: curve.points.at(-1).target_fpir, scale: "log", ticks: [0.001, 0.01, 0.1, 0.5], tell: rate },
    y: { from: 0, to: 1, ticks: SHARES, tell: String },
    grey: [from, Math.max(from, Math.min(curve.resolvable_from, 0.5))],
    chosen: chosen.target_fpir,
  });
};

const table = (curve) => figures(
  "All figures", ["Strangers named", "Score needed", "Really named, 95\u00a0%", "Enrolled missed", "Really missed, 95\u00a0%"],
  curve.points.map((point) => [rate(point.target_fpir), ...point.strangers_needed === null
    ? [point.threshold === null ? "–" : score(point.threshold),
      point.fpir_interval ? span(point.fpir_interval) : "–",
      point.expected_fnir === null ? "not known" : rate(point.expected_fnir),
      point.fnir_interval ? span(point.fnir_interval) : "–"]
    : [`takes ${count(point.strangers_needed, "stranger")}`, "–", "–", "–"]]),
);

// Who comes nearest to a threshold, on either side: the enrolled left out, and strangers.

const EACH = 6;
const PAUSE = 150; // milliseconds that the slider rests before its neighbours are asked for

const near = { problem: null, answer: null, of: null, timer: 0 };

const key = (curve, point) => `${curve.gallery} ${curve.version} ${point.target_fpir}`;

/** Ask who is near at a point of a curve, once it stays chosen. */
function lookAt(curve, point) {
  clearTimeout(near.timer);
  if (near.of === key(curve, point) || !curve.identities || point.strangers_needed !== null) return;
  near.timer = setTimeout(() => ask(curve, point), near.of ? PAUSE : 0);
}

async function ask(curve, point) {
  const of = near.of = key(curve, point);
  const told = { busy: false, problem: null, answer: null };
  await attempt(told, async () => {
    const place = path("galleries", curve.gallery, "operating-curve", "boundary");
    told.answer = await get(`${place}?target_fpir=${point.target_fpir}&limit=${EACH}`);
  });
  if (of !== near.of) return; // another is looked at by now
  Object.assign(near, told);
  update();
}

/** Show who is near, if it is known; what was found for another point is not shown for this. */
function boundary(curve, point) {
  if (!curve.identities || point.strangers_needed !== null) return nothing;
  const answer = near.of === key(curve, point) ? near.answer : null;
  return html`<section aria-label="Nearest to the threshold" aria-busy=${answer ? "false" : "true"}>
    <h2>Nearest to the threshold</h2>
    ${near.of === key(curve, point) ? problemBox(near.problem) : nothing}
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
