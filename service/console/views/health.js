// What seems wrong with a gallery, with the evidence: a list to go through.

import { html, nothing } from "../vendor/lit-html-3.3.3.js";
import { get, path } from "../api.js";
import { app, attempt, go, update } from "../app.js";
import { busyButton, galleryField, problemBox } from "../parts.js";
import { preview } from "../previews.js";
import { count, rate, score } from "../words.js";
import { lookFor } from "./gallery.js";

export const title = "Health";

const found = { busy: false, problem: null, report: null };

const check = () => attempt(found, async () => {
  found.report = null;
  update();
  found.report = await get(`${path("galleries", app.gallery, "health")}?limit=100`);
});

export const view = () => {
  const report = found.report?.gallery === app.gallery ? found.report : null;
  return html`
    <p class="lead">Names that seem wrong, people enrolled twice, and who is hard to tell apart.</p>
    <div class="row">${galleryField()}${busyButton(found, "Check", check, "Checking…")}</div>
    ${problemBox(found.problem)}
    <div role="status">${report ? summary(report) : nothing}</div>
    ${report ? lists(report) : nothing}`;
};

const summary = (report) => {
  const open = [report.mislabelled, report.duplicates, report.goats, report.hubs]
    .reduce((sum, each) => sum + (each?.length ?? 0), 0);
  return html`<p><b>${open ? count(open, "thing") + " to look at" : "Nothing found"}</b> among ${
    count(report.identities, "identity", "identities")} with ${count(report.samples, "sample")}${
    report.wrong_names === null ? "" : `; about ${rate(report.wrong_names)} of names are estimated to be wrong`}.
    ${report.reason ?? ""} ${report.mislabelled === null && !report.reason
      ? "Fewer than 20 identities have two samples: too few to judge names by." : ""}</p>`;
};

const lists = (report) => html`
  ${part("Names that seem wrong", report.mislabelled, (each) => html`
    ${shown(each.identity, each.id)}<span>Sample ${each.id} of <b>${each.identity}</b> looks like <b>${each.rather}</b>:
    ${score(each.rather_score)} against ${score(each.score)}. Wrong with probability ${rate(each.probability)}.</span>
    ${openButton(each.identity)}${openButton(each.rather)}`)}
  ${part("Enrolled twice, it seems", report.duplicates, (each) => html`
    ${each.samples.map((id, i) => shown(each.identities[i], id))}<span><b>${each.identities[0]}</b> and <b>${each.identities[1]}</b> score ${score(each.score)}
    with each other. One with probability ${rate(each.probability)} (p = ${score(each.p_value)}).</span>
    ${each.identities.map(openButton)}`)}
  ${part("Hard to recognise", report.goats, (each) => html`<span><b>${each.identity}</b>: ${each.missed.length} of ${
    count(each.samples, "sample")} are nearer to somebody else; own score ${score(each.score)} (q = ${score(each.q_value)}).</span>
    ${openButton(each.identity)}`)}
  ${part("Like many others", report.hubs, (each) => html`<span><b>${each.identity}</b> is the nearest other of ${
    each.nearest_to.join(", ")}; mean score ${score(each.mean_score)} (q = ${score(each.q_value)}).</span>
    ${openButton(each.identity)}`)}
  ${part("Few samples", report.few_samples, (each) => html`<span><b>${each.identity}</b> has ${count(each.samples, "sample")}.</span>
    ${openButton(each.identity)}`)}`;

const part = (heading, items, row) => items?.length
  ? html`<section><h2>${heading} (${items.length})</h2><ul class="review">${items.map((each) => html`<li class="row">${row(each)}</li>`)}</ul></section>`
  : nothing;

const openButton = (identity) => html`<button type="button" @click=${() => {
  lookFor(identity);
  go("gallery");
}}>Show ${identity}</button>`;

const shown = (identity, id) => preview(app.gallery, identity, id);
