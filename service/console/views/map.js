// A gallery as a map: what lies close together is alike; whatever is selected on it can be mended.

import {
  app, attempt, choice, count, galleryField, get, html, keep, nothing, onLeave, path, preview, problemBox, rate,
  score, table, toRead, update,
} from "../kit.js";
import { SHAPES } from "../canvas.js";
import { TOOLS, approach, forgetView, giveUp, isWhole, plot, plotted, showAll } from "../plot.js";
import { acts, chosen } from "./selection.js";

export const title = "Map";

const AGAIN = 1000; // milliseconds until a map that is not done is asked for again
const PAGE = 20; // rows of the table
const LISTED = 12; // identities and clusters in the legend, the largest

const COLOURS = 8; // of console.css, --ink0 and so on, for any group; one more warns
const WARNS = 8;
const MARKS = { disc: "●", square: "■", triangle: "▲", diamond: "◆", cross: "✖", ring: "○" };
const OUTCOMES = {
  own: ["would be named as itself", { colour: 0, shape: "disc" }],
  another: ["would be named as somebody else", { colour: WARNS, shape: "triangle" }],
  unknown: ["would be unknown", { colour: 4, shape: "ring" }],
  alone: ["the only one of its identity", { colour: 7, shape: "diamond" }],
};
const BY = { outcome: "what they would be named", identity: "identity", cluster: "cluster" };

const found = { busy: false, problem: null, map: null, of: null, timer: 0, stays: false };
const shown = { by: "outcome", links: true, wanted: "", page: 0 };
let groups = []; // of the colouring: { name, style, size }

onLeave(() => clearTimeout(found.timer));

export function enter() {
  if (found.of !== app.gallery) {
    Object.assign(found, { map: null, of: app.gallery, stays: false, busy: false });
    chosen.clear();
    forgetView();
  }
  return load();
}

async function load() {
  clearTimeout(found.timer);
  const of = app.gallery;
  await attempt(found, async () => {
    const map = await get(path("galleries", of, "map"));
    if (of === app.gallery && app.view === "map") take(map);
  });
  if (of !== app.gallery || app.view !== "map" || !found.map) return;
  if (found.map.progress < 1) found.timer = setTimeout(load, found.problem ? 5 * AGAIN : AGAIN);
}

/** Show a map. What lay somewhere lies there until the new layout is done. */
function take(map) {
  const before = found.map, at = new Map();
  if (before && map.layout === "pca" && map.progress < 1 && (found.stays || before.layout === "tsne")) {
    before.samples.forEach((sample, i) => at.set(sample, [before.x[i], before.y[i]]));
    before.identities.forEach((identity, i) => at.set(`of ${identity}`, [before.x[i], before.y[i]]));
  }
  found.stays = at.size > 0;
  if (found.stays) {
    const places = map.samples.map((sample, i) => at.get(sample) ?? at.get(`of ${map.identities[i]}`) ?? [map.x[i], map.y[i]]);
    Object.assign(map, { x: places.map(([x]) => x), y: places.map(([, y]) => y) });
  }
  const there = new Set(map.samples);
  for (const sample of chosen) if (!there.has(sample)) chosen.delete(sample);
  found.map = map;
  plot.points.x = Float32Array.from(map.x);
  plot.points.y = Float32Array.from(map.y, (y) => -y);
  plot.cursor = -1;
  Object.assign(plot, { samples: map.samples, identities: map.identities });
  dress();
}

const columns = () => ({ outcome: found.map.outcomes, identity: found.map.identities, cluster: found.map.clusters });

/** Give each point the style of its group. */
function dress() {
  const map = found.map, column = columns()[shown.by];
  const sizes = new Map();
  for (const value of column ?? []) sizes.set(value, (sizes.get(value) ?? 0) + 1);
  const order = [...sizes].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  groups = column === null ? [{ name: "not told yet", style: OUTCOMES.alone[1], size: map.samples.length }]
    : shown.by === "outcome" ? Object.keys(OUTCOMES).map((name) => ({ name: OUTCOMES[name][0], value: name, style: OUTCOMES[name][1], size: sizes.get(name) ?? 0 }))
    : order.map(([value, size], i) => ({
      name: shown.by === "cluster" ? `cluster ${value + 1}` : value, value, size, style: { colour: i % COLOURS, shape: SHAPES[Math.floor(i / COLOURS) % SHAPES.length] },
    }));
  const place = new Map(groups.map((group, i) => [group.value, i]));
  plot.styles = groups.map((group) => group.style);
  plot.points.style = Uint16Array.from({ length: map.samples.length }, (_, i) => column ? place.get(column[i]) : 0);
  mark();
}

/** Show what is selected as such. */
function mark() {
  plot.points.chosen = Uint8Array.from(found.map.samples, (sample) => chosen.has(sample) ? 1 : 0);
  plot.links = shown.links ? found.map.links ?? [] : [];
  update();
}

/** Select samples by their places: those only, or these too; with `turn`, one that is selected is no more. */
plot.onSelect = (places, add, turn = false) => {
  const samples = places.map((i) => found.map.samples[i]);
  const off = turn && add && samples.every((sample) => chosen.has(sample));
  if (!add) chosen.clear();
  for (const sample of samples) {
    if (off) chosen.delete(sample);
    else chosen.add(sample);
  }
  mark();
};

/** Select everything of the identities or clusters that something is selected of. */
function alike(column) {
  const wanted = new Set();
  found.map.samples.forEach((sample, i) => chosen.has(sample) && wanted.add(column[i]));
  return column.flatMap((value, i) => wanted.has(value) ? [i] : []);
}

const widens = (column) => Boolean(column) && alike(column).length > chosen.size;

const widen = (column) => plot.onSelect(alike(column), true);

function clear() {
  chosen.clear();
  mark();
}

const onKey = (event) => {
  if (event.key === "Escape" && found.map && !giveUp()) clear();
};

export const view = () => {
  const map = found.of === app.gallery ? found.map : null;
  return html`<div @keydown=${onKey}>
    <p class="lead">What lies close together is alike. Select samples to see whose they are, and to move, split or forget them.</p>
    <div class="row">${galleryField()}</div>
    ${problemBox(found.problem)}
    ${map ? drawn(map) : html`<p role="status">${found.busy ? "Laying it out…" : ""}</p>`}</div>`;
};

const drawn = (map) => !map.samples.length ? html`<p role="status">Nobody is enrolled here.</p>` : html`
  <div class="row">
    ${choice("by", "Colour by", shown.by, Object.entries(BY), keep(shown, "by", dress))}
    <fieldset class="tools"><legend>A drag or click</legend>${Object.entries(TOOLS).map(([name, words]) => html`<label class="check">
      <input type="radio" name="tool" .checked=${plot.tool === name} @change=${() => { plot.tool = name; giveUp(); update(); }}>${words}</label>`)}</fieldset>
  </div>
  <div class="map"><div>
    ${plotted(`Map of ${count(map.samples.length, "sample")} of ${map.gallery}; the table below lists them`)}
    <div class="row">
      <button type="button" class="small" @click=${() => approach(1.6)}>Zoom in</button>
      <button type="button" class="small" @click=${() => approach(1 / 1.6)}>Zoom out</button>
      <button type="button" class="small" ?disabled=${isWhole()} @click=${showAll}>Show all</button>
      <label class="check"><input type="checkbox" .checked=${shown.links} @change=${(event) => {
        shown.links = event.target.checked;
        mark();
      }}>Lines between look-alikes</label>
    </div>
    <p class="hint" aria-live="polite">${plot.cursor >= 0 ? told(map, plot.cursor) : "Point at a sample, or go through them with the arrow keys."}</p>
    ${legend()}
  </div>
  <section aria-label="Selection">${acts(map)}
    <div class="row">
      <button type="button" class="small" ?disabled=${!widens(map.clusters)} @click=${() => widen(map.clusters)}>Select its cluster</button>
      <button type="button" class="small" ?disabled=${!widens(map.identities)} @click=${() => widen(map.identities)}>Select its identity</button>
      <button type="button" class="small" ?disabled=${!chosen.size} @click=${clear}>Clear the selection</button>
    </div>
  </section></div>
  <p class="hint" role="status">${state(map)}</p>
  ${map.progress < 1 ? html`<progress aria-label="Work on the map that is done" max="1" .value=${map.progress}></progress>` : nothing}
  <details class="hint"><summary>By keys</summary><p id="plot-keys">On the map: arrows go from sample to sample, Enter selects, b marks two corners of a box,
    + and − zoom, 0 shows all, Shift with arrows moves the map, Escape clears. The wheel zooms with Ctrl, or once the map has the focus.</p></details>
  ${rowsOf(map)}
  ${toRead(path("galleries", map.gallery, "map"), "map_gallery", [map.gallery])}`;

const told = (map, i) => `Sample ${map.samples[i]} of ${map.identities[i]}${map.clusters ? `, cluster ${map.clusters[i] + 1}` : ""}${
  map.outcomes ? `: ${OUTCOMES[map.outcomes[i]][0]}` : ""}${chosen.has(map.samples[i]) ? "; selected" : ""}`;

const legend = () => html`<ul class="legend" aria-label="Legend">${groups.slice(0, LISTED).map((group) => html`<li>
  ${group.value === undefined ? html`<span>${group.name}</span>` : html`<button type="button" class="small" ?disabled=${!group.size} aria-label="Select ${group.name}: ${count(group.size, "sample")}"
    @click=${() => plot.onSelect(columns()[shown.by].flatMap((value, i) => value === group.value ? [i] : []), false)}
    ><span class="ink${group.style.colour}" aria-hidden="true">${MARKS[group.style.shape]}</span>${group.name} (${group.size})</button>`}</li>`)}${
  groups.length > LISTED ? html`<li>and ${groups.length - LISTED} more</li>` : nothing}</ul>`;

const state = (map) => [
  map.samples.length < map.enrolled_samples
    ? `${count(map.samples.length, "sample")} of ${map.enrolled_samples.toLocaleString("en")} are shown, at most 20 of an identity.`
    : `All ${count(map.samples.length, "sample")} of ${count(map.enrolled_identities, "identity", "identities")} are shown.`,
  map.progress < 1 ? found.stays ? "They lie as before until they are laid out anew."
    : `Laid out ${map.layout === "tsne" ? "as before" : "by its main directions"} so far.`
    : map.layout === "tsne" ? "Laid out by neighbours." : `Laid out by its main directions only: ${map.reason}.`,
  map.threshold === null ? "" : `A match needs ${score(map.threshold)} at ${rate(map.target_fpir)} of strangers.`,
  map.linked === null ? "" : map.linked ? `${count(map.linked, "pair")} of different identities reach${map.linked === 1 ? "es" : ""} that${
    map.linked > map.links.length ? `; the best ${map.links.length} have lines` : ""}.` : "No two identities have samples that alike.",
].join(" ");

/** The places of rows: doubtful ones first, or what a name was looked for by. */
function listed(map) {
  const wanted = shown.wanted.toLocaleLowerCase();
  const rows = map.samples.map((_, i) => i).filter((i) => map.identities[i].toLocaleLowerCase().includes(wanted));
  const doubt = { another: 0, unknown: 1, alone: 2, own: 3 };
  return map.outcomes ? rows.sort((a, b) => doubt[map.outcomes[a]] - doubt[map.outcomes[b]] || a - b) : rows;
}

function rowsOf(map) {
  const rows = listed(map), pages = Math.max(1, Math.ceil(rows.length / PAGE));
  const page = Math.min(shown.page, pages - 1);
  const alike = new Map();
  for (const [i, j, reached] of map.links ?? []) {
    if (!alike.has(i)) alike.set(i, [j, reached]);
    if (!alike.has(j)) alike.set(j, [i, reached]);
  }
  const turnTo = (to) => () => { shown.page = to; update(); };
  return html`<h2>The same as a table</h2>
  <div class="row"><label class="field">Part of an identity’s name <input type="search" autocomplete="off" .value=${shown.wanted}
    @input=${keep(shown, "wanted", turnTo(0))}></label>
    <button type="button" ?disabled=${!page} @click=${turnTo(page - 1)}>Earlier rows</button>
    <button type="button" ?disabled=${page + 1 >= pages} @click=${turnTo(page + 1)}>Later rows</button>
    <span class="hint" role="status">${count(rows.length, "sample")}, page ${page + 1} of ${pages}</span></div>
  ${table("Samples on the map", ["Sample", "Identity", "Cluster", "If it were a probe", "Most alike of another"], rows.slice(page * PAGE, (page + 1) * PAGE).map((i) => html`<tr>
      <th scope="row"><label class="check"><input type="checkbox" .checked=${chosen.has(map.samples[i])}
        @change=${() => plot.onSelect([i], true, true)}>${preview(map.gallery, map.identities[i], map.samples[i])} ${map.samples[i]}</label></th>
      <td data-label="Identity">${map.identities[i]}</td>
      <td data-label="Cluster">${map.clusters ? map.clusters[i] + 1 : "…"}</td>
      <td data-label="If it were a probe">${map.outcomes ? OUTCOMES[map.outcomes[i]][0] : "…"}</td>
      <td data-label="Most alike of another">${alike.has(i) ? `${map.identities[alike.get(i)[0]]} ${score(alike.get(i)[1])}` : "nobody close"}</td>
    </tr>`), "stack samples-on-map")}`;
}
