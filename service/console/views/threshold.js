// What a rate costs: a slider over the strangers that may be named, and the enrolled that it misses.

import { html, nothing, svg } from "../vendor/lit-html-3.3.3.js";
import { call, callOnce, get, path } from "../api.js";
import { app, attempt, go, refresh, update } from "../app.js";
import { galleryField, problemBox } from "../parts.js";
import { WHY_NO_MISS_RATE, count, rate, score } from "../words.js";
import { asked } from "./identify.js";

export const title = "Threshold";

const made = { busy: false, problem: null, told: "", of: null, version: null };
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
  });
}

const change = (name, told, task) => attempt(made, async () => {
  Object.assign(made, { told: "", of: name });
  await task();
  await Promise.all([refresh(), enter()]);
  made.told = told;
});

const makeDefault = (name, target) => change(
  name, `From now on at most ${rate(target)} of strangers are named in ${name}, unless asked otherwise.`,
  async () => {
    await call("PATCH", path("galleries", name), { target_fpir: target });
    const { edits } = await get(path("galleries", name, "edits"));
    made.version = edits.find((each) => each.operation === "patch")?.version;
  },
);

const undo = (name) => change(name, "", () => callOnce(path("galleries", name, "undo"), { version: made.version }));

export const view = () => {
  const curve = found.of === app.gallery ? found.curve : null;
  return html`
    <p class="lead">How many strangers may be named, and how many of the enrolled that would miss: in this gallery, now.</p>
    <div class="row">${galleryField()}</div>
    ${problemBox(found.problem)}
    ${curve ? slider(curve) : html`<p role="status">${found.busy ? "Working it out…" : ""}</p>`}`;
};

const slider = (curve) => {
  const point = curve.points[found.chosen];
  return html`
    <label class="field">Strangers that may be named
      <input type="range" min="0" max=${curve.points.length - 1} step="1" .value=${String(found.chosen)}
        aria-valuetext=${rate(point.target_fpir)}
        @input=${(event) => { found.chosen = Number(event.target.value); update(); }}></label>
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
      @click=${() => makeDefault(curve.gallery, point.target_fpir)}>Make ${rate(point.target_fpir)} the default</button>
    ${made.told && made.of === curve.gallery ? html`<button type="button" @click=${() => undo(curve.gallery)}>Undo</button>` : nothing}</div>
    <p role="status">${made.of === curve.gallery ? made.told : ""}</p>
    ${problemBox(made.problem)}
    <p class="hint">It rests on ${count(curve.cohort_identities, "stranger")} of the ${curve.source}${curve.own_trials
      ? ` and ${count(curve.own_trials, "trial")} of the gallery against itself` : ""}, enough to tell rates from ${rate(curve.resolvable_from)} on.
      ${count(curve.identities, "identity is", "identities are")} enrolled, at version ${curve.version}; scores by rule ${curve.rule}.</p>
    ${table(curve)}`;
};

function described(curve, point) {
  if (point.strangers_needed !== null) {
    return html`<p>${count(curve.cohort_identities + curve.own_trials, "stranger")} cannot tell ${rate(point.target_fpir)} from none:
      it would take a cohort of ${count(point.strangers_needed, "stranger")}. Give the gallery one with
      <code>POST /galleries/${curve.gallery}/cohort</code>.</p>`;
  }
  if (!curve.identities) return html`<p>Nobody is enrolled yet, so there is no threshold.</p>`;
  return html`<dl>
    <div><dt>A match needs</dt><dd><b>${score(point.threshold)}</b></dd></div>
    <div><dt>Strangers really named</dt><dd>${rate(point.fpir_interval[0])} to ${rate(point.fpir_interval[1])}, in 95 % of cases</dd></div>
    <div><dt>Enrolled that are missed</dt><dd>${point.expected_fnir === null
      ? `not known: ${WHY_NO_MISS_RATE[point.expected_fnir_reason] ?? point.expected_fnir_reason}`
      : html`<b>${rate(point.expected_fnir)}</b>`}</dd></div>
  </dl>`;
}

const LEFT = 44, RIGHT = 630, TOP = 14, BOTTOM = 214;

const chart = (curve, chosen) => {
  const from = Math.log(curve.points[0].target_fpir), to = Math.log(curve.points.at(-1).target_fpir);
  const x = (target) => LEFT + (RIGHT - LEFT) * (Math.log(target) - from) / (to - from);
  const y = (share) => BOTTOM - (BOTTOM - TOP) * share;
  const line = (of) => curve.points.filter((point) => of(point) !== null)
    .map((point) => `${x(point.target_fpir).toFixed(1)},${y(of(point)).toFixed(1)}`).join(" ");
  const grey = Math.max(0, Math.min(RIGHT, x(Math.min(curve.resolvable_from, 0.5))) - LEFT);
  return html`<figure>
    <svg class="chart" viewBox="0 0 640 256" role="img" aria-label="Enrolled missed and score needed, by strangers named; the table below has the figures">
      ${grey > 0 ? svg`<rect class="unresolved" x=${LEFT} y=${TOP} width=${grey} height=${BOTTOM - TOP}></rect>` : nothing}
      ${[0, 0.25, 0.5, 0.75, 1].map((share) => svg`<line class="grid" x1=${LEFT} x2=${RIGHT} y1=${y(share)} y2=${y(share)}></line>
        <text x=${LEFT - 6} y=${y(share) + 4} text-anchor="end">${share}</text>`)}
      ${[0.001, 0.01, 0.1, 0.5].map((target) => svg`<text x=${x(target)} y=${BOTTOM + 18}
        text-anchor=${target === 0.5 ? "end" : "middle"}>${rate(target)}</text>`)}
      <text class="title" x=${(LEFT + RIGHT) / 2} y=${BOTTOM + 34} text-anchor="middle">strangers that may be named</text>
      <polyline class="needed" points=${line((point) => point.threshold)}></polyline>
      <polyline class="missed" points=${line((point) => point.expected_fnir)}></polyline>
      <line class="chosen" x1=${x(chosen.target_fpir)} x2=${x(chosen.target_fpir)} y1=${TOP} y2=${BOTTOM}></line>
      ${chosen.expected_fnir === null ? nothing : svg`<circle class="point" cx=${x(chosen.target_fpir)} cy=${y(chosen.expected_fnir)} r="5"></circle>`}
    </svg>
    <figcaption class="row hint"><span><span class="key missed"></span> enrolled that are missed</span>
      <span><span class="key needed"></span> score that a match needs</span>
      ${grey > 0 ? html`<span><span class="key unresolved"></span> too few strangers to tell</span>` : nothing}</figcaption>
  </figure>`;
};

const table = (curve) => html`<details><summary>All figures</summary>
  <div class="wide" tabindex="0" role="region" aria-label="All figures"><table>
  <thead><tr><th scope="col">Strangers named</th><th scope="col">Score needed</th><th scope="col">Really named, 95 %</th><th scope="col">Enrolled missed</th></tr></thead>
  <tbody>${curve.points.map((point) => html`<tr><th scope="row">${rate(point.target_fpir)}</th>
    ${point.strangers_needed === null ? html`<td>${point.threshold === null ? "–" : score(point.threshold)}</td>
      <td>${point.fpir_interval ? `${rate(point.fpir_interval[0])} to ${rate(point.fpir_interval[1])}` : "–"}</td>
      <td>${point.expected_fnir === null ? "not known" : rate(point.expected_fnir)}</td>`
    : html`<td colspan="3">takes ${count(point.strangers_needed, "stranger")}</td>`}</tr>`)}</tbody></table></div></details>`;
