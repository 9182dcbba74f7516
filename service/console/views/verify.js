// Are these two the same? Two samples side by side, at a rate of false matches.

import {
  BANDS, app, asCode, attempt, busyButton, call, choice, comparator, facts, form, html, keep,
  nothing, picture, problemBox, rate, score, spoken, svg, titled, update,
} from "../kit.js";
import { box, paste as pasteInto, sampleInput, samplesOf } from "../inputs.js";

export const title = "Verify";

const sides = [box("First sample", false), box("Second sample", false)];
const asked = { comparator: "", fmr: "" };
const found = { busy: false, problem: null, answer: null, sent: [], missing: "", call: null };

/** A paste goes to the first box that is empty, else to the second. */
export const paste = (event) => pasteInto(sides.find((side) => !samplesOf(side).length) ?? sides[1], event);

const chosen = () => comparator(asked.comparator) ?? app.comparators.find(
  (each) => each.modalities.a === "image" && each.modalities.b === "image") ?? app.comparators[0];

function verify() {
  const samples = sides.map((side) => samplesOf(side)[0]);
  found.missing = samples.every(Boolean) ? "" : "Choose a first and a second sample.";
  if (found.missing) return update();
  return attempt(found, async () => {
    found.answer = null;
    found.sent = samples;
    const fields = [
      ["a", samples[0]],
      ["b", samples[1]],
      ["comparator", titled(chosen())],
      ...(asked.fmr ? [["target_fmr", asked.fmr]] : []),
    ];
    found.call = spoken("POST", "verify", fields, ["verify", samples, {
      comparator: fields[2][1], target_fmr: asked.fmr && Number(asked.fmr),
    }]);
    found.answer = await call("POST", "verify", form(fields));
  });
}

export const view = () => {
  const model = chosen();
  return html`
    <p class="lead">Are these two the same?</p>
    <div class="row">
      ${choice("comparator", "Comparator", model && titled(model), app.comparators.map((each) => [titled(each)]), keep(asked, "comparator", () => {
        asked.fmr = "";
        update();
      }))}
      ${choice("fmr", "False matches, of different pairs", asked.fmr, [["", "as usual"], ...(model?.operating_points ?? []).map((point) => [
        String(point.fmr), `at most ${rate(point.fmr)} (misses ${rate(point.fnmr)})`])], keep(asked, "fmr"))}
    </div>
    <div class="pair">${sides.map((side, i) =>
      sampleInput(side, model?.modalities[i ? "b" : "a"] ?? null))}</div>
    <div class="row">${busyButton(found, "Verify", verify, "Comparing…")}
      <span class="hint" role="alert">${found.missing}</span></div>
    ${problemBox(found.problem)}
    <div role="status" class="results">${found.answer ? card(found.answer) : nothing}</div>
    ${asCode(found.call)}`;
};

const card = (answer) => html`<article class="card ${answer.match ? "match" : "unknown"}"><div class="told"><p class="outcome">${answer.match ? "Same" : "Different"}</p>
    ${answer.score === null
      ? html`<p>This key is told decisions only: ${BANDS[answer.band]}.</p>`
      : html`<p>They score <b>${score(answer.score)}</b>; the same needs <b>${score(answer.threshold)}</b>.</p>${scale(answer)}`}
    ${facts([
      answer.fmr !== null && ["Different pairs that score as high", `at most ${rate(answer.fmr)}`],
      answer.distance !== null && ["Distance", score(answer.distance)],
      ["Comparator", answer.comparator],
    ])}
  </div>
  <div class="probe">${found.sent.map(picture)}</div>
</article>`;

const scale = (answer) => {
  const points = comparator(answer.comparator)?.operating_points ?? [];
  const at = (value) => 10 + 300 * value;
  return html`<svg class="scale" viewBox="0 0 320 44" role="img"
    aria-label="Score ${score(answer.score)} on a scale from 0, different, to 1, the same">
    <line class="axis" x1="10" y1="22" x2="310" y2="22"></line>
    ${points.map((point) => svg`<line class="tick" x1=${at(point.threshold)} y1="17" x2=${at(point.threshold)} y2="27"></line>`)}
    <line class="needed" x1=${at(answer.threshold)} y1="8" x2=${at(answer.threshold)} y2="36"></line>
    <circle class="point" cx=${at(answer.score)} cy="22" r="6"></circle>
    <text x="10" y="42">0 different</text><text x="310" y="42" text-anchor="end">1 same</text>
  </svg>`;
};
