// Who is enrolled: found, described, forgotten with a receipt. And galleries, made and deleted.

import {
  app, ask, attempt, call, comparator, count, day, gallery, galleryField, get, html, nothing, path,
  preview, problemBox, rate, refresh, table, toRead, update,
} from "../kit.js";
import { forgetReceipt, readReceipt, receiptCard } from "../receipts.js";
import { checking, consistency, isChecked, share } from "./consistency.js";
import { controls, isOpen, lastEdit, onEdit, pastEdits, readHistory, toggle } from "./editing.js";

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
const gone = { busy: false, problem: null };
const made = {
  busy: false, problem: null, told: "", name: "", comparator: "", percent: "", references: "b", keep: false,
};

onEdit(() => reload());

export function enter() {
  if (!list.busy || list.of !== app.gallery) reload(); // other views change it too
  readHistory();
}

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

async function forget(words, where) {
  const yes = await ask({
    title: `Forget ${words}?`,
    text: `It is deleted from gallery ${app.gallery} for good, and found no more from that moment on. This cannot be undone.`,
    confirm: "Forget",
  });
  if (!yes) return;
  await attempt(gone, async () => {
    forgetReceipt();
    const { version } = await call("DELETE", where);
    await Promise.all([readReceipt(app.gallery, version, words), refresh(), reload()]);
  });
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
  await attempt(made, async () => {
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
    ${problemBox(list.problem)}${problemBox(gone.problem)}
    <div role="status">${receiptCard()}</div>
    ${lastEdit()}
    ${listed()}
    ${pastEdits()}
    ${newGallery()}
    ${toRead(`${path("galleries", app.gallery, "identities")}?limit=${PAGE}`, "list_identities", [app.gallery], { limit: PAGE })}`;
};

const listed = () => html`
  ${list.items.length ? html`${checking()}
    <div class="field"><label for="order">Those shown, by</label><select id="order" @change=${(event) => {
      list.order = event.target.value;
      update();
    }}>${Object.entries(ORDERS).filter(([name]) => name !== "consistency" || isChecked()).map(([name, [words]]) => html`
      <option value=${name} .selected=${name === list.order}>${words}</option>`)}</select></div>
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
        @click=${() => forget(`sample ${sample.id} of ${each.identity}`,
          path("galleries", app.gallery, "identities", each.identity, "samples", sample.id))}>Forget</button></li>`;
  })}</ul></details></td>
  ${isChecked() ? html`<td data-label="Consistency">${consistency(each.identity)}</td>` : nothing}
  <td class="metadata">${Object.entries(each.metadata).map(([name, value]) => html`<div>${name}: ${
    typeof value === "string" ? value : JSON.stringify(value)}</div>`)}</td>
  <td><div class="row"><button type="button" aria-label="Edit ${each.identity}" aria-expanded=${isOpen(each.identity)}
    @click=${() => toggle(each.identity)}>Edit</button>
    <button type="button" aria-label="Forget ${each.identity}" @click=${() => forget(each.identity,
    path("galleries", app.gallery, "identities", each.identity))}>Forget</button></div></td>
</tr>
${isOpen(each.identity) ? html`<tr><td colspan="5">${controls(each)}</td></tr>` : nothing}`;

const newGallery = () => html`<details class="panel"><summary>New gallery</summary>
  <form @submit=${create}>
    <div class="row">
      <label class="field">Name <input required maxlength="128" pattern="[A-Za-z0-9._~\\-]+" autocomplete="off"
        title="Letters, digits and . _ ~ -" .value=${made.name} @input=${set("name")}></label>
      <div class="field"><label for="comparator">Comparator</label><select id="comparator" @change=${set("comparator")}><option value="">the usual one</option>${
        app.comparators.map((each) => html`<option value="${each.name}@${each.version}"
          .selected=${made.comparator === `${each.name}@${each.version}`}>${each.name}@${each.version}</option>`)}</select></div>
      <label class="field">Strangers that may be named, in % <input type="number" min="0.01" max="99" step="any"
        .value=${made.percent} @input=${set("percent")} placeholder="as the service"></label>
      ${twoSided() ? html`<div class="field"><label for="references">Enrolled are</label><select id="references" @change=${set("references")}>${["a", "b"].map((side) => html`
        <option value=${side} .selected=${side === made.references}>side ${side}: ${comparator(made.comparator).modalities[side]}</option>`)}</select></div>` : nothing}
    </div>
    <label class="check"><input type="checkbox" .checked=${made.keep} @change=${(event) => {
      made.keep = event.target.checked;
      update();
    }}> Keep the samples themselves, so that the gallery can move to another comparator</label>
    <div class="row"><button class="first">Make the gallery</button></div>
  </form></details>
  ${problemBox(made.problem)}
  <p role="status">${made.told}</p>`;

const set = (name) => (event) => {
  made[name] = event.target.value;
  update();
};
