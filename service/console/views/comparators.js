// What compares here: of whom it learnt, what it takes, and how well it does.

import {
  app, attempt, count, day, facts, get, html, nothing, path, problemBox, rate, score, table, titled, toRead,
} from "../kit.js";

export const title = "Comparators";

export const view = () => html`
  ${app.comparators.map(card)}
  ${Object.entries(app.refused).map(([bundle, reason]) => html`<section class="problem">
    <h2>${bundle} is not served</h2><p>${reason}</p></section>`)}
  ${app.comparators.length ? nothing : html`<p>${app.ready ? "None is served." : ""}</p>`}
  ${toRead("comparators", "list_comparators")}`;

const card = (each) => html`<section class="panel">
  <h2>${titled(each)}</h2>
  <p>${each.description}</p>
  ${facts([
    ["Takes", takes(each.modalities)],
    ["Licence", each.licence],
    ["Runs on", each.provider],
    ["Compares by", `${each.distance} distance of ${count(each.dimension, "number")}, rule ${each.rule}`],
    ["Brings", count(each.cohort_identities, "stranger")],
    ["Made", each.created ? day(each.created) : "its bundle does not tell when"],
    ["Used by", users(each)],
    ["Digest", html`<code>${each.digest}</code>`],
  ])}
  ${each.operating_points.length ? html`<h3>Of two samples</h3>
    ${table(`Operating points of ${each.name}`, ["Different pairs taken for the same", "Score needed", "Same pairs missed"], each.operating_points.map((point) => html`<tr><td>at most ${rate(point.fmr)}</td><td>${score(point.threshold)}</td><td>${rate(point.fnmr)}</td></tr>`))}` : nothing}
  ${each.metrics.length ? html`<details><summary>Measured</summary>
    ${table(`Measured of ${each.name}`, columns(each).map((name) => name.replaceAll("_", " ")), each.metrics.map((metric) => html`<tr>${columns(each).map((name) => html`<td>${shown(metric[name])}</td>`)}</tr>`))}</details>` : nothing}
  ${written(each)}
</section>`;

const cards = {}; // digest → { busy, problem, text }

const written = (each) => {
  const card = cards[each.digest] ??= { busy: false, problem: null, text: null };
  const named = titled(each);
  return html`<details @toggle=${(event) => {
    if (!event.target.open || card.text !== null) return;
    attempt(card, async () => { card.text = (await get(path("comparators", named))).card; });
  }}><summary>Card of ${named}</summary>
    ${problemBox(card.problem)}
    <pre class="written" tabindex="0" role="region" aria-label="Card of ${named}, as its maker wrote it">${card.text ?? "…"}</pre></details>`;
};

const users = (each) => {
  if (!app.galleries) return "this key does not list galleries";
  const found = app.galleries.filter((one) => one.comparator === titled(each));
  return found.length ? found.map((one) => html`<div>${one.name}, ${
    one.digest === each.digest ? "" : "by an earlier digest, "}made ${day(one.created)}</div>`) : "no gallery";
};

const takes = ({ a, b }) => (a === b || b === undefined ? a : `${a} (side a) and ${b} (side b)`);

const columns = (each) => [...new Set(each.metrics.flatMap((metric) => Object.keys(metric)))];

const shown = (value) => {
  if (value === null || value === undefined) return "";
  if (Array.isArray(value)) return value.map(shown).join(" to ");
  if (typeof value === "number") return String(Number(value.toPrecision(4)));
  return typeof value === "object" ? JSON.stringify(value) : String(value);
};
