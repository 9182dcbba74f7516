// Whose is it? Candidates, what a match would need, and "unknown" as large as a match.

import {
  BANDS, OUTCOMES, WHY_NO_POSTERIOR, act, app, asCode, attempt, busyButton, call, count, explained, facts,
  form, gallery, galleryField, go, html, judges, keep, missRate, modalityOf, nothing, ofWhom, path, picture,
  preview, problemBox, rate, really, refresh, score, spoken, update,
} from "../kit.js";
import { box, paste as pasteInto, sampleInput, samplesOf } from "../inputs.js";
import { TRIALS, drawings, drawn } from "../drawings.js";
import { give } from "./enroll.js";

export const title = "Identify";
export const probes = box("Samples");
export const asked = { percent: "" }; // empty: the gallery's own target

const found = { busy: false, problem: null, missing: "", answer: null, sent: [], call: null };

export const paste = (event) => pasteInto(probes, event);

function identify() {
  const samples = samplesOf(probes);
  found.missing = samples.length ? "" : "Choose some samples first.";
  if (found.missing) return update();
  return attempt(found, async () => {
    found.answer = null;
    found.sent = samples;
    const target = asked.percent === "" ? "" : Number((Number(asked.percent) / 100).toPrecision(12));
    const fields = [
      ["gallery", app.gallery],
      ...(target === "" ? [] : [["target_fpir", String(target)]]),
      ["k", "3"],
      ...found.sent.map((item) => ["files", item]),
    ];
    found.call = spoken("POST", "identify", fields, ["identify", [samples], {
      gallery: app.gallery, target_fpir: target, k: 3,
    }]);
    found.answer = await call("POST", "identify", form(fields));
    refresh();
  });
}

/** Ask about a drawing that the service brings. */
const tryOut = ({ drawing, percent }) => attempt(found, async () => {
  probes.items = [await drawn(drawing)];
  asked.percent = percent;
}).then(() => found.problem ?? identify());

const trials = () => html`<div class="row"><span class="hint">To try:</span>${TRIALS.map((trial) => html`
  <button type="button" @click=${() => tryOut(trial)}>${trial.words}</button>`)}</div>`;

export const view = () => html`
  <p class="lead">Whose is this, or nobody’s who is enrolled?</p>
  <div class="row">
    ${galleryField()}
    <label class="field">Strangers that may be named, in %
      <input type="number" min="0.01" max="99" step="any" inputmode="decimal"
        placeholder=${gallery() ? String(+(gallery().target_fpir * 100).toPrecision(6)) : ""}
        .value=${asked.percent}
        @input=${keep(asked, "percent")}></label>
  </div>
  ${sampleInput(probes, modalityOf("probes"))}
  ${drawings.taken && modalityOf("probes") === "image" ? trials() : nothing}
  <div class="row">${busyButton(found, "Identify", identify, "Identifying…")}
    ${probes.items.length ? html`<button type="button" @click=${() => {
      probes.items = [];
      update();
    }}>Clear</button>` : nothing}
    <span class="hint" role="alert">${found.missing}</span></div>
  ${problemBox(found.problem)}
  <div role="status" class="results">${found.answer ? results(found.answer) : nothing}</div>
  ${asCode(found.call)}`;

const results = (answer) => html`${answer.results.map((result) => card(answer, result, found.sent[result.index]))}
  ${answer.failures.map((failure) => html`<article class="card"><div class="told"><p class="outcome">Not read</p>
      <p>${found.sent[failure.index].name}: ${explained(failure.problem)}</p></div>
    <div class="probe">${picture(found.sent[failure.index])}</div>
  </article>`)}`;

const card = (answer, result, item) => html`<article class="card ${result.outcome}"><div class="told"><p class="outcome">${OUTCOMES[result.outcome]}${result.identity ? html` <b>${result.identity}</b>` : nothing}</p>
    <p>${why(result)}</p>
    ${result.score === null && result.reason !== "empty-gallery"
      ? html`<p>This key is told decisions only: ${BANDS[result.band]}.</p>`
      : nothing}
    ${figures(answer, result)}
    ${feedback(answer, result)}
    ${candidates(answer, result)}
    <button type="button" @click=${() => {
      give(result.identity ?? "", item);
      go("enroll");
    }}>Enroll it${result.identity ? ` as ${result.identity}` : " as somebody"}…</button>
  </div>
  <div class="probe">${picture(item)}<span class="name">${item.name}</span></div>
</article>`;

function why(result) {
  const first = result.candidates[0];
  const needed = html`a match needs <b>${score(result.threshold)}</b>`;
  switch (result.reason) {
    case "empty-gallery":
      return "Nobody is enrolled in this gallery.";
    case "reaches-threshold":
      return first ? html`${result.identity} scores <b>${score(result.score)}</b>; ${needed}.` : "It reaches the threshold.";
    case "likelier-than-unknown":
      return first
        ? html`Not close enough to be named, but ${first.identity} is likelier than nobody: it scores <b>${score(result.score)}</b>, ${needed}.`
        : "Not close enough to be named, but somebody is likelier than nobody.";
    case "rejected-before":
      return first
        ? html`Nearest is ${first.identity} with <b>${score(result.score)}</b>, but of one more like this it was said that it is not ${first.identity}.`
        : "Of one more like this it was said that it is not who comes nearest.";
    case "no-identity-stands":
      return "No enrolled identity has a mean score of one half.";
    default:
      return first
        ? html`Nobody enrolled comes close enough. Nearest is ${first.identity} with <b>${score(result.score)}</b>; ${needed}.`
        : "Nobody enrolled comes close enough.";
  }
}

const figures = (answer, result) => result.reason === "empty-gallery" ? nothing : facts([
  result.p_value !== null && ["Strangers who come as close", `${rate(result.p_value)} (p-value)`],
  result.target_fpir !== null && ["Strangers that may be named", `${rate(result.target_fpir)}${really(result.evidence.fpir_interval)}${ofWhom(result.evidence)}`],
  ["Enrolled that this threshold misses", missRate(result, result.evidence.fnir_interval)],
  result.decision.margin !== null && ["Margin", `${score(result.decision.margin)} above ${result.decision.runner_up}`],
  result.score !== null && ["Probability", result.posterior === null
    ? `not known: ${WHY_NO_POSTERIOR[result.posterior_reason] ?? result.posterior_reason}`
    : `${result.candidates[0].identity} ${rate(result.posterior)}, nobody enrolled ${rate(result.unknown_posterior)}`],
  ["Judged by", `${judges(result.evidence)}, version ${answer.version}`],
]);

const candidates = (answer, result) => result.candidates.length ? html`<h2>${
  result.outcome === "match" ? "Closest" : result.reason === "rejected-before"
    ? "Nearest, but said not to be" : "Nearest, not close enough to be named"}</h2>
  <ol class="candidates">${result.candidates.slice(0, 2).map((each) => candidate(answer, each))}</ol>
  ${result.candidates.length > 2 ? html`<details><summary>${result.candidates.length - 2} more</summary>
    <ol class="candidates" start="3">${result.candidates.slice(2).map((each) => candidate(answer, each))}</ol></details>` : nothing}` : nothing;

const candidate = (answer, each) => html`<li>
    <span class="who">${each.identity}</span> <b>${score(each.score)}</b>
    ${each.posterior === null ? nothing : html`<span class="hint">probability ${rate(each.posterior)}</span>`}
    <ul class="references" aria-label="Nearest of ${each.identity}">${each.samples.map((sample) => {
      return html`<li>${preview(answer.gallery, each.identity, sample.id)}<span class="hint">sample ${sample.id}: ${score(sample.score)}</span></li>`;
    })}</ul></li>`;

// Yes or no to an answer: confirmed it is enrolled, rejected it is not given again.

const said = new WeakMap(); // a result → what was said of it

const about = (result) => {
  if (!said.has(result)) said.set(result, { busy: false, problem: null, told: "", rejection: null });
  return said.get(result);
};

const judge = (id, result, verdict, identity) => act(about(result), async () => {
  const answer = await call("POST", "feedback", { decision: id, verdict, identity });
  const place = about(result);
  place.rejection = answer.rejection;
  place.told = verdict === "reject"
    ? `Remembered: this is not ${identity}, nor is its like.`
    : [`${answer.outcome === "added" ? "Enrolled as" : "Was enrolled already as"} ${identity}.`, ...answer.warnings].join(" ");
  refresh();
});

const takeBack = (gallery, result) => act(about(result), async () => {
  const place = about(result);
  await call("DELETE", path("galleries", gallery, "rejections", place.rejection));
  Object.assign(place, { rejection: null, told: "Taken back." });
});

/** Two buttons, for whoever is told candidates. */
function feedback(answer, result) {
  const first = result.candidates[0];
  const id = answer.decisions[answer.results.indexOf(result)];
  if (!first || !id) return nothing;
  const place = about(result);
  const name = result.identity ?? first.identity;
  return html`<div class="row">
    ${place.told ? nothing : html`
      <button type="button" @click=${() => judge(id, result, "confirm", name)}>Yes, it is ${name}</button>
      ${result.reason === "rejected-before" ? nothing
        : html`<button type="button" @click=${() => judge(id, result, "reject", name)}>No, not ${name}</button>`}`}
    ${place.told ? html`<span role="status" tabindex="-1">${place.told}</span>` : nothing}
    ${place.rejection ? html`<button type="button" @click=${() => takeBack(answer.gallery, result)}>Take back</button>` : nothing}
  </div>${problemBox(place.problem)}`;
}
