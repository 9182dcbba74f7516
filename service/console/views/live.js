// What the service does now, read from its own metrics every two seconds while somebody looks.

import { app, attempt, count, getBlob, html, nothing, onLeave, problemBox, toRead, update } from "../kit.js";
import { by, parse, quantile, risen } from "../exposition.js";
import { figures, plot, ticks } from "../lines.js";

export const title = "Live";

const EVERY = 2; // seconds
const SHOWN = 90; // readings: three minutes
const OVER = 5; // readings that a rate is taken over
const MINUTE = 60 / EVERY;
const ROWS = 10; // of a table, the newest first
const STAGES = ["receive", "decode", "queue", "encode", "search", "decide", "store", "barrier"];
const OUTCOMES = ["match", "possible", "unknown"];

const found = { busy: false, problem: null, paused: false };
let readings = []; // { time, …figures }
let timer = null;

export function enter() {
  stop();
  if (app.view === "live" && !document.hidden && !found.paused) return look();
}

function stop() {
  clearTimeout(timer);
  timer = null;
}

async function look() {
  timer = 0;
  await attempt(found, read);
  if (timer === null || found.problem?.status === 403) return; // it was left, or is not to be seen
  timer = setTimeout(look, EVERY * 1000);
}

async function read() {
  const scrape = parse(await (await getBlob("metrics")).text());
  const durations = {};
  for (const stage of STAGES) {
    durations[stage] = by(scrape, "kindred_stage_duration_seconds_bucket", "le", (labels) => labels.stage === stage);
  }
  readings = [...readings, {
    time: Date.now() / 1000,
    requests: by(scrape, "kindred_http_requests_total", "")[""],
    refused: by(scrape, "kindred_http_requests_total", "", ({ code }) => code.startsWith("5"))[""] ?? 0,
    outcomes: by(scrape, "kindred_identify_results_total", "outcome"),
    durations,
    queue: by(scrape, "kindred_queue_depth", "comparator"),
    room: by(scrape, "kindred_queue_limit", "comparator"),
    drift: by(scrape, "kindred_score_drift_psi", "comparator"),
    limit: by(scrape, "kindred_score_drift_psi_limit", "comparator"),
    probes: by(scrape, "kindred_score_drift_window_samples", "comparator"),
  }].slice(-SHOWN - MINUTE);
}

onLeave(() => {
  stop();
  readings = [];
});
document.addEventListener("visibilitychange", enter);

function pause() {
  found.paused = !found.paused;
  enter();
  update();
}

export const view = () => html`
  <p class="lead">What this process does now, from <code>/metrics</code> every ${EVERY} seconds, while you look.</p>
  ${found.problem?.status === 403
    ? html`<div class="problem" role="alert"><p><strong>This key may not read metrics</strong></p>
      <p>They tell of every gallery: it takes a key of role <code>read</code> or higher whose scope is every gallery.</p></div>`
    : html`${problemBox(found.problem)}
      <div class="row"><button type="button" aria-pressed=${found.paused} @click=${pause}>Pause</button>
        <span class="hint">${found.paused ? "Paused." : readings.length ? `Read ${count(readings.length, "time")}.` : "Reading…"}</span></div>
      ${readings.length > 1 ? plots() : nothing}`}
  ${toRead("metrics", "metrics")}`;

const plots = () => {
  const shown = readings.map((_, i) => i).slice(1).slice(-SHOWN);
  const since = (i, most) => readings[Math.max(0, i - most)];
  const rate = (i, figure) => (readings[i][figure] - since(i, OVER)[figure]) / (readings[i].time - since(i, OVER).time);
  const told = (i, stage) => risen(readings[i].durations[stage], since(i, OVER).durations[stage]);
  const stages = STAGES.filter((stage) => shown.some((i) => quantile(1, told(i, stage)) !== null));
  const within = (share) => stages.map((stage) => ({
    name: stage, values: shown.map((i) => scaled(quantile(share, told(i, stage)), 1000)),
  }));
  const minute = (i) => {
    const span = readings[i].time - since(i, MINUTE).time;
    return Object.fromEntries(Object.entries(risen(readings[i].outcomes, since(i, MINUTE).outcomes))
      .map(([outcome, rise]) => [outcome, rise * 60 / Math.max(span, 60)]));
  };
  const comparators = Object.keys(readings.at(-1).queue);
  const of = (figure, name) => shown.map((i) => readings[i][figure][name] ?? null);
  return html`<div class="plots">
    ${section("Requests a second", shown, [
      { name: "all", values: shown.map((i) => Math.max(0, rate(i, "requests"))) },
      { name: "refused or failed (5xx)", values: shown.map((i) => Math.max(0, rate(i, "refused"))), dashed: true }])}
    ${stages.length ? html`
      ${section("p50 by stage: half take at most this, in ms", shown, within(0.5))}
      ${section("p99 by stage: all but 1\u00a0% take at most this, in ms", shown, within(0.99))}`
    : html`<section><h2>Time by stage</h2><p class="hint">Nothing was compared in the last ${OVER * EVERY} seconds that are shown.</p></section>`}
    ${section("Samples that wait for a model", shown, comparators.map((name) => ({
      name: `${name}, of ${readings.at(-1).room[name]}`, values: of("queue", name) })))}
    ${section("Outcomes in the last minute", shown, OUTCOMES.map((outcome) => ({
      name: outcome, values: shown.map((i) => minute(i)[outcome] ?? 0) })))}
    ${section("Drift of probes, against what chance alone explains", shown, comparators.flatMap((name, i) => [
      { name: `${name}, of ${count(readings.at(-1).probes[name] ?? 0, "probe")}`, values: of("drift", name), shade: i },
      { name: `limit of ${name}`, values: of("limit", name), dashed: true, shade: i }]))}</div>
    <p class="hint">Drift is how far scores have moved, told from 100 probes on. It is no error yet: see what changed.</p>`;
};

const scaled = (value, by) => (value === null ? null : value * by);

const section = (name, shown, lines) => {
  const now = readings.at(-1).time;
  const at = shown.map((i) => readings[i].time - now);
  const places = ticks(Math.max(0, ...lines.flatMap((line) => line.values)));
  const from = Math.min(-30, at[0]);
  return html`<section><h2>${name}</h2>
    ${plot({
      label: name, at, lines,
      x: { from, to: 0, ticks: [from, from / 2, 0], tell: (value) => value ? `${Math.round(-value)}\u00a0s ago` : "now" },
      y: { from: 0, to: places.at(-1), ticks: places, tell: short },
    })}
    ${figures(`Figures: ${name}`, ["When", ...lines.map((line) => line.name)], shown.map((_, i) => [
      `${Math.round(-at[i])}\u00a0s ago`, ...lines.map((line) => line.values[i] === null ? "–" : short(line.values[i]))]).reverse().slice(0, ROWS))}
  </section>`;
};

const short = (value) => String(Number(value.toPrecision(3)));
