// Yes or no to an answer: confirmed it is enrolled, rejected it is not given again.

import { html, nothing } from "../vendor/lit-html-3.3.3.js";
import { call, path } from "../api.js";
import { attempt, refresh } from "../app.js";
import { problemBox } from "../parts.js";

const said = new WeakMap(); // a result → what was said of it

const about = (result) => {
  if (!said.has(result)) said.set(result, { busy: false, problem: null, told: "", rejection: null });
  return said.get(result);
};

const judge = (id, result, verdict, identity) => attempt(about(result), async () => {
  const answer = await call("POST", "feedback", { decision: id, verdict, identity });
  const place = about(result);
  place.rejection = answer.rejection;
  place.told = verdict === "reject"
    ? `Remembered: this is not ${identity}, nor is its like.`
    : [`${answer.outcome === "added" ? "Enrolled as" : "Was enrolled already as"} ${identity}.`, ...answer.warnings].join(" ");
  refresh();
});

const takeBack = (gallery, result) => attempt(about(result), async () => {
  const place = about(result);
  await call("DELETE", path("galleries", gallery, "rejections", place.rejection));
  Object.assign(place, { rejection: null, told: "Taken back." });
});

/** Two buttons, for whoever is told candidates. */
export function feedback(answer, result) {
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
    ${place.told ? html`<span role="status">${place.told}</span>` : nothing}
    ${place.rejection ? html`<button type="button" @click=${() => takeBack(answer.gallery, result)}>Take back</button>` : nothing}
  </div>${problemBox(place.problem)}`;
}
