// What seems wrong with a gallery, with the evidence: a queue to go through, by keys or by buttons.

import {
  app, attempt, busyButton, count, galleryField, get, go, html, nothing, path, preview, problemBox,
  rate, score, toRead, update,
} from "../kit.js";
import { lastEdit } from "../edits.js";
import { merge, move, readHistory, stands } from "./editing.js";
import { lookFor } from "./gallery.js";

export const title = "Health";

export const enter = readHistory; // for what was done and undone

const found = { busy: false, problem: null, report: null, queue: [], at: 0 };

/* Of each list: its heading, whom it is about, which samples show it, what is said of one, and
what accepting it does, if that is something that can be undone. */
const LISTS = {
  mislabelled: {
    heading: "Name that seems wrong",
    who: (each) => [each.identity, each.rather],
    samples: (each) => [[each.identity, each.id]],
    told: (each) => html`Sample ${each.id} of <b>${each.identity}</b> looks like <b>${each.rather}</b>:
      ${score(each.rather_score)} against ${score(each.score)}. Wrong with probability ${rate(each.probability)}.`,
    accept: (each) => ({ words: `Move it to ${each.rather}`, act: () => move(each.identity, [each.id], each.rather) }),
  },
  duplicates: {
    heading: "Enrolled twice, it seems",
    who: (each) => each.identities,
    samples: (each) => each.samples.map((id, i) => [each.identities[i], id]),
    told: (each) => html`<b>${each.identities[0]}</b> and <b>${each.identities[1]}</b> score ${score(each.score)}
      with each other. They are one with probability ${rate(each.probability)}: of identities here that are cut in two,
      the halves of ${rate(each.p_value)} are no more alike than these.`,
    accept: ({ identities: [one, other] }) => ({ words: `Merge ${other} into ${one}`, act: () => merge(other, one) }),
  },
  goats: {
    heading: "Hard to recognise",
    who: (each) => [each.identity],
    samples: (each) => each.missed.map((id) => [each.identity, id]),
    told: (each) => html`<b>${each.identity}</b>: ${each.missed.length} of ${count(each.samples, "sample")} are
      nearer to somebody else; own score ${score(each.score)} (q = ${score(each.q_value)}).`,
  },
  hubs: {
    heading: "Like many others",
    who: (each) => [each.identity],
    samples: () => [],
    told: (each) => html`<b>${each.identity}</b> is the nearest other of ${each.nearest_to.join(", ")};
      mean score ${score(each.mean_score)} (q = ${score(each.q_value)}).`,
  },
  few_samples: {
    heading: "Few samples",
    who: (each) => [each.identity],
    samples: () => [],
    told: (each) => html`<b>${each.identity}</b> has ${count(each.samples, "sample")}.`,
  },
};

const check = () => attempt(found, async () => {
  found.report = null;
  update();
  const report = await get(path("galleries", app.gallery, "health"));
  const queue = Object.entries(LISTS).flatMap(([name, list]) =>
    (report[name] ?? []).map((each) => ({ list, each, dismissed: false, version: null })));
  Object.assign(found, { report, queue, at: 0 });
  update();
  queueMicrotask(() => document.querySelector(".queue")?.focus());
});

function turn(by) {
  found.at = Math.min(found.queue.length - 1, Math.max(0, found.at + by));
  update();
}

function dismiss() {
  const item = found.queue[found.at];
  if (stateOf(item) === "accepted") return;
  item.dismissed = !item.dismissed;
  turn(item.dismissed ? 1 : 0);
}

async function accept() {
  const item = found.queue[found.at];
  if (stateOf(item) !== "open" || !item.list.accept) return;
  item.version = await item.list.accept(item.each).act();
  update();
}

const KEYS = {
  ArrowLeft: () => turn(-1), ArrowRight: () => turn(1), Enter: accept, x: dismiss,
};

function onKey(event) {
  const onControl = event.target !== event.currentTarget && event.key === "Enter"; // it has its own
  if (!KEYS[event.key] || onControl || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  KEYS[event.key]();
}

export const view = () => {
  const report = found.report?.gallery === app.gallery ? found.report : null;
  return html`
    <p class="lead">Names that seem wrong, people enrolled twice, and who is hard to tell apart.</p>
    <div class="row">${galleryField()}${busyButton(found, "Check", check, "Checking…")}</div>
    ${problemBox(found.problem)}
    <div role="status">${report ? summary(report) : nothing}</div>
    ${report && found.queue.length ? review() : nothing}
    ${lastEdit()}
    ${report && found.queue.length ? all() : nothing}
    ${toRead(path("galleries", app.gallery, "health"), "check_gallery", [app.gallery])}`;
};

const summary = (report) => html`<p><b>${found.queue.length ? `${count(found.queue.length, "thing")} to look at` : "Nothing found"}</b> among ${
  count(report.identities, "identity", "identities")} with ${count(report.samples, "sample")}${
  report.wrong_names === null ? "" : `; about ${rate(report.wrong_names)} of names are estimated to be wrong`}.
  ${report.reason ?? ""} ${report.mislabelled === null && !report.reason
    ? "Fewer than 20 identities have two samples: too few to judge names by." : ""}</p>`;

const stateOf = (item) => {
  if (item.version !== null && stands(item.version)) return "accepted"; // until that is undone
  return item.dismissed ? "dismissed" : "open";
};

const STATES = { open: "", accepted: "Done.", dismissed: "Dismissed." };

const review = () => {
  const { list, each } = found.queue[found.at];
  const state = stateOf(found.queue[found.at]);
  const offer = list.accept?.(each);
  return html`<section class="card queue" tabindex="0" role="group" aria-roledescription="review" aria-label="To review: use the arrow keys, Enter and x"
      @keydown=${onKey}><div class="told">
    <p class="hint">${found.at + 1} of ${found.queue.length}</p>
    <h2>${list.heading}</h2>
    <div class="row">${list.samples(each).map(([identity, id]) => preview(app.gallery, identity, id))}<p aria-live="polite">${list.told(each)} <b>${STATES[state]}</b></p></div>
    <div class="row">
      ${offer ? html`<button type="button" class="first" aria-disabled=${state !== "open"} @click=${accept}>${offer.words} <kbd>Enter</kbd></button>` : nothing}
      <button type="button" aria-disabled=${state === "accepted"} @click=${dismiss}>${state === "dismissed" ? "Take up again" : "Dismiss"} <kbd>x</kbd></button>
      ${list.who(each).map((identity) => html`<button type="button" @click=${() => { lookFor(identity); go("gallery"); }}>Show ${identity}</button>`)}
    </div>
    <div class="row">
      <button type="button" aria-disabled=${found.at === 0} @click=${() => turn(-1)}><kbd>←</kbd> Previous</button>
      <button type="button" aria-disabled=${found.at === found.queue.length - 1} @click=${() => turn(1)}>Next <kbd>→</kbd></button>
    </div>
  </div></section>`;
};

const all = () => html`<details class="panel"><summary>All ${found.queue.length}, ${
  found.queue.filter((item) => stateOf(item) === "open").length} of them open</summary>
  <ol class="review">${found.queue.map((item, i) => html`<li class="row"><span>${item.list.heading}: ${item.list.told(item.each)} ${STATES[stateOf(item)]}</span>
    <button type="button" class="small" aria-label="Review ${i + 1}" aria-current=${i === found.at ? "true" : nothing}
      @click=${() => { found.at = i; update(); }}>Review</button></li>`)}</ol></details>`;
