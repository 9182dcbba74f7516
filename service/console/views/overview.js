// What is served, how it is, and where to begin.

import { app, count, go, html, nothing, rate, refresh, table, titled, toRead } from "../kit.js";
import { takeDrawings, wantsDrawings } from "./enroll.js";

export const title = "Overview";

export const enter = refresh;

export const view = () => html`
  ${app.ready && !app.ready.ready ? html`<section class="problem"><h2>Not ready</h2>
    <ul>${[...app.ready.reasons, ...app.ready.details].map((why) => html`<li>${why}</li>`)}</ul></section>` : nothing}
  ${app.galleries?.every((each) => !each.identities) ? begin() : nothing}
  ${app.galleries ? html`<section><h2>Galleries</h2>
    ${table("Galleries", ["Gallery", "Comparator", "Identities", "Samples", "Strangers named", "Judged by"], app.galleries.map((each) => html`<tr>
      <th scope="row"><a href="#gallery" @click=${() => { app.gallery = each.name; }}>${each.name}</a></th>
      <td data-label="Comparator">${each.comparator}</td><td data-label="Identities" class="number">${each.identities.toLocaleString("en")}</td>
      <td data-label="Samples" class="number">${each.samples.toLocaleString("en")}</td><td data-label="Strangers named">at most ${rate(each.target_fpir)}</td>
      <td data-label="Judged by">${count(each.cohort_identities, "stranger")} of the ${each.cohort}</td></tr>`), "stack")}</section>`
    : app.problem ? nothing : html`<p>${app.ready ? "This key does not list galleries: type the name of one where it is asked for." : ""}</p>`}
  ${app.comparators.length ? html`<section><h2>Comparators</h2><ul class="plain">${app.comparators.map((each) => html`<li>
    <a href="#comparators">${titled(each)}</a>: ${each.description}</li>`)}</ul></section>` : nothing}
  ${app.ready?.ready && app.ready.details.length ? html`<section><h2>Notes</h2>
    <ul class="plain">${app.ready.details.map((detail) => html`<li>${detail}</li>`)}</ul></section>` : nothing}
  ${toRead("galleries", "list_galleries")}`;

const begin = () => html`<section class="card"><div class="told">
  <h2>Nobody is enrolled yet</h2>
  <p>Enroll a few samples of somebody or something, such as drawings of one letter under its name; then ask whose another one is.</p>
  <div class="row"><button type="button" class="first" @click=${() => go("enroll")}>Enroll the first</button>
    ${wantsDrawings() ? html`<button type="button" @click=${() => { go("enroll"); takeDrawings(); }}>Begin with 20 sample drawings</button>` : nothing}
    <button type="button" @click=${() => go("verify")}>Compare two samples</button></div></div></section>`;
