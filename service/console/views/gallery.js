// Who is enrolled: found, described, forgotten with a receipt. And galleries, made and deleted.

import {
  act, app, ask, attempt, busyButton, call, choice, comparator, count, day, gallery, galleryField,
  get, html, keep, nothing, path, preview, problemBox, rate, refresh, table, titled, toRead, update,
} from "../kit.js";
import { forget, lastEdit } from "../edits.js";
import { controls, isOpen, pastEdits, readHistory, toggle } from "./editing.js";

export const title = "Gallery";

const PAGE = 50;
const LOOKED_THROUGH = 1000; // in one request of a search
const ORDERS = {
  listed: ["as they were enrolled", () => 0],
  name: ["name", (a, b) => a.identity.localeCompare(b.identity)],
  samples: ["samples, fewest first", (a, b) => a.samples.length - b.samples.length],
  consistency: ["consistency, least first", (a, b) => isChecked() ? share(a.identity) - share(b.identity) : 0],
};

const list = { busy: false, problem: null, of: null, items: [], next: null, looked: 0, wanted: "", order: "listed" };
const made = {
  busy: false, problem: null, told: "", name: "", comparator: "", percent: "", references: "b", keep: false,
};

export const enter = () => Promise.all([reload(), readHistory()]);

function reload() {
  Object.assign(list, { of: app.gallery, items: [], next: "0", looked: 0, busy: false });
  return more();
}

/** Show another page; of a search, look on until a page of hits is found. */
function more() {
  return attempt(list, async () => {
    const { of, wanted, items } = list;
    const hits = [];
    const limit = wanted ? LOOKED_THROUGH : PAGE;
    while (list.next !== null && hits.length < PAGE) {
      const page = await get(`${path("galleries", of, "identities")}?limit=${limit}&after=${list.next}`);
      if (list.items !== items) return; // looked for anew by now
      hits.push(...page.items.filter((each) => matches(each.identity, wanted)));
      list.next = page.next;
      list.looked += page.items.length;
      update();
    }
    list.items = [...items, ...hits];
  });
}

const matches = (name, wanted) => name.toLocaleLowerCase().includes(wanted.toLocaleLowerCase());

/** Show one identity, wherever it is in the list. */
export function lookFor(name) {
  list.wanted = name;
  list.of = null;
}

function search(event) {
  event.preventDefault();
  list.wanted = event.target.elements.wanted.value.trim();
  reload();
}

function create(event) {
  event.preventDefault();
  return attempt(made, async () => {
    made.told = "";
    await call("POST", "galleries", {
      name: made.name.trim(),
      ...(made.comparator ? { comparator: made.comparator } : {}),
      ...(made.percent ? { target_fpir: Number(made.percent) / 100 } : {}),
      ...(made.keep ? { keep_samples: true } : {}),
      ...(twoSided() ? { references: made.references } : {}),
    });
    app.gallery = made.name.trim();
    made.told = `Made gallery ${app.gallery}.`;
    made.name = "";
    await refresh();
    await reload();
  });
}

const twoSided = () => {
  const { a, b } = comparator(made.comparator)?.modalities ?? {};
  return a !== b;
};

async function deleteGallery() {
  const name = app.gallery;
  const yes = await ask({
    title: `Delete gallery ${name}?`,
    text: `${count(gallery()?.identities ?? 0, "identity", "identities")} with ${count(gallery()?.samples ?? 0, "sample")} are deleted for good.`,
    confirm: "Delete the gallery",
    typed: name,
  });
  if (!yes) return;
  await act(made, async () => {
    await call("DELETE", path("galleries", name));
    made.told = `Deleted gallery ${name}.`;
    await refresh();
    await reload();
  });
}

export const view = () => {
  const here = gallery();
  return html`
    <div class="row">${galleryField()}
      ${here ? html`<button type="button" class="danger" @click=${deleteGallery}>Delete this gallery</button>` : nothing}</div>
    ${here ? html`<p class="lead">${count(here.identities, "identity", "identities")} with ${count(here.samples, "sample")},
      by ${here.comparator}; at most ${rate(here.target_fpir)} of strangers named unless asked otherwise. Version ${here.version}.</p>` : nothing}
    <form class="row" role="search" @submit=${search}>
      <label class="field">Part of a name <input name="wanted" type="search" .value=${list.wanted} autocomplete="off"></label>
      <button>Search</button>
    </form>
    ${problemBox(list.problem)}
    ${lastEdit()}
    ${listed()}
    ${pastEdits()}
    ${newGallery()}
    ${toRead(`${path("galleries", app.gallery, "identities")}?limit=${PAGE}`, "list_identities", [app.gallery], { limit: PAGE })}`;
};

const listed = () => html`
  ${list.items.length ? html`${checking()}
    <div class="row">${choice("order", "Those shown, by", list.order, Object.entries(ORDERS).filter(([name]) => name !== "consistency" || isChecked())
      .map(([name, [words]]) => [name, words]), keep(list, "order"))}</div>
    ${table("Identities", ["Identity", "Samples", ...isChecked() ? ["Consistency"] : [], "Metadata", ""],
      list.items.toSorted(ORDERS[list.order][1]).map(identityRow), "stack")}` : nothing}
  <p class="hint" role="status">${list.busy ? `Looking… ${list.looked}` : list.items.length
    ? `${count(list.items.length, "identity", "identities")} shown${list.next === null ? ", no more" : ""}${list.wanted ? `, of ${list.looked} looked through` : ""}.`
    : list.wanted ? `Nobody here has a name with “${list.wanted}” in it.` : list.problem ? "" : "Nobody is enrolled here."}</p>
  ${list.next !== null && !list.busy ? html`<button type="button" @click=${more}>Show more</button>` : nothing}`;

const identityRow = (each) => html`<tr>
  <th scope="row">${each.identity}</th>
  <td><details><summary>${count(each.samples.length, "sample")}</summary><ul class="plain">${each.samples.map((sample) => {
    return html`<li class="row">${preview(app.gallery, each.identity, sample.id)}<span>sample ${sample.id}, ${day(sample.created)}</span>
      <button type="button" class="small" aria-label="Forget sample ${sample.id} of ${each.identity}"
        @click=${() => forget(`sample ${sample.id} of ${each.identity}`, [[each.identity, "samples", sample.id]])}>Forget</button></li>`;
  })}</ul></details></td>
  ${isChecked() ? html`<td data-label="Consistency">${consistency(each.identity)}</td>` : nothing}
  <td class="metadata">${Object.entries(each.metadata).map(([name, value]) => html`<div>${name}: ${
    typeof value === "string" ? value : JSON.stringify(value)}</div>`)}</td>
  <td><div class="row"><button type="button" aria-label="Edit ${each.identity}" aria-expanded=${isOpen(each.identity)}
    @click=${() => toggle(each.identity)}>Edit</button>
    <button type="button" aria-label="Forget ${each.identity}" @click=${() => forget(each.identity, [[each.identity]])}>Forget</button></div></td>
</tr>
${isOpen(each.identity) ? html`<tr><td colspan="5">${controls(each)}</td></tr>` : nothing}`;

const newGallery = () => html`<details class="panel"><summary>New gallery</summary>
  <form @submit=${create}>
    <div class="row">
      <label class="field">Name <input required maxlength="128" pattern="[A-Za-z0-9._~\\-]+" autocomplete="off"
        title="Letters, digits and . _ ~ -" .value=${made.name} @input=${keep(made, "name")}></label>
      ${choice("comparator", "Comparator", made.comparator, [["", "the usual one"], ...app.comparators.map((each) => [titled(each)])], keep(made, "comparator"))}
      <label class="field">Strangers that may be named, in % <input type="number" min="0.01" max="99" step="any"
        .value=${made.percent} @input=${keep(made, "percent")} placeholder="as the service"></label>
      ${twoSided() ? choice("references", "Enrolled are", made.references,
        ["a", "b"].map((side) => [side, `side ${side}: ${comparator(made.comparator).modalities[side]}`]), keep(made, "references")) : nothing}
    </div>
    <label class="check"><input type="checkbox" .checked=${made.keep} @change=${(event) => {
      made.keep = event.target.checked;
      update();
    }}> Keep the samples themselves, so that the gallery can move to another comparator</label>
    <div class="row"><button class="first">Make the gallery</button></div>
  </form></details>
  ${problemBox(made.problem)}
  <p role="status" tabindex="-1">${made.told}</p>`;

// How consistent identities are: how many of their samples would be named as them, each left out.

const AGAIN = 1000; // milliseconds until a map whose outcomes are not told is asked for again

const checked = { busy: false, problem: null, of: null, version: 0, tallies: null };

/** What the gallery's map tells of its samples, counted by identity. */
const check = () => attempt(checked, async () => {
  const of = app.gallery;
  let map = await get(path("galleries", of, "map"));
  while (!map.outcomes && map.progress < 1 && app.view === "gallery") {
    await new Promise((resolve) => setTimeout(resolve, AGAIN));
    map = await get(path("galleries", of, "map"));
  }
  Object.assign(checked, { of, version: map.version, tallies: map.outcomes ? tallied(map) : new Map() });
});

function tallied({ identities, outcomes }) {
  const tallies = new Map();
  identities.forEach((identity, i) => {
    if (!tallies.has(identity)) tallies.set(identity, { own: 0, tried: 0 });
    const tally = tallies.get(identity);
    if (outcomes[i] === "own") tally.own++;
    if (outcomes[i] !== "alone") tally.tried++;
  });
  return tallies;
}

/** Whether something is known of the gallery as it is now. */
const isChecked = () => checked.of === app.gallery && checked.version === (gallery()?.version ?? checked.version);

/** The share of an identity's samples that would be named as it; of whom none is known, more than all. */
function share(identity) {
  const tally = checked.tallies.get(identity);
  return tally?.tried ? tally.own / tally.tried : 2;
}

function consistency(identity) {
  const tally = checked.tallies.get(identity);
  if (!tally) return "not told";
  return tally.tried ? `${tally.own} of ${tally.tried} named as it` : "only one sample";
}

/** Have it checked; what the column then tells. */
const checking = () => html`<div class="row">${busyButton(checked, "Check consistency", check, "Checking…")}
    ${isChecked() ? html`<span class="hint">How many samples would be named as their identity, if each were left out and came as a probe: the map shows which would not.</span>` : nothing}</div>
  ${problemBox(checked.problem)}`;
