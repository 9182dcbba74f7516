// What every view shares: who is served, which gallery is looked at, and when to draw again.

import { Problem, get } from "./api.js";

export const app = {
  view: "overview",
  galleries: null, // null: not told to this key
  comparators: [],
  refused: {}, // bundle → why it is not served
  gallery: "default",
  ready: null,
  keyAsked: false,
  problem: null, // of the last refresh
  pictures: new Map(), // "gallery/sample id" → the picture it was enrolled from, in this tab
  question: null, // what the dialog asks
  enter: () => {}, // has the view read anew what it shows
};

let drawing = false;
let draw = () => {};
const leaving = [];

/** Have a task done whenever a view is left: a camera is put away, a clock stops. */
export const onLeave = (task) => { leaving.push(task); };

export const leave = () => leaving.forEach((task) => task());

export const onUpdate = (render) => { draw = render; };

/** Draw soon: once, however often it is asked for meanwhile. */
export function update() {
  if (drawing) return;
  drawing = true;
  queueMicrotask(() => {
    drawing = false;
    const used = document.activeElement, places = around(used);
    draw();
    if (used?.isConnected === false || used?.disabled) given = focus(places, NEAR);
  });
}

const NEAR = "h1, button:enabled, summary, input:enabled, select, textarea, [tabindex='0']";
const TOLD = "[role=status][tabindex]:not(:empty)";

let given = null; // what has the focus because the control that had it is gone

/** An element and all that it is in, from within. */
const around = (each) => each ? [each, ...around(each.parentElement)] : [];

/** Give the focus to the first of some kind, as near as there is one. */
function focus(places, kind) {
  const found = places.filter((each) => each.isConnected).map((each) => each.querySelector(kind)).find(Boolean);
  found?.focus();
  return found;
}

/** Do a task that `place` shows as busy, and keep what went wrong there. */
export async function attempt(place, task) {
  if (place.busy) return;
  Object.assign(place, { busy: true, problem: null });
  update();
  try {
    await task();
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    place.problem = problem;
    if (problem.status === 401) app.keyAsked = true;
  } finally {
    place.busy = false;
    update();
  }
}

/** Attempt what may take away the control it was asked by: then the focus goes to what is told. */
export async function act(place, task) {
  const places = around(document.activeElement);
  given = document.body;
  await attempt(place, task);
  if (document.activeElement === given) focus(places, TOLD);
}

/** Look again at what is served, and how it is. */
export async function refresh() {
  const refreshed = { problem: null };
  try {
    app.ready = await get("health/ready");
    const served = await get("comparators");
    app.comparators = served.comparators;
    app.refused = served.refused;
    app.galleries = (await get("galleries")).galleries;
    if (app.galleries.length && !gallery()) app.gallery = app.galleries[0].name;
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (problem.status === 403) app.galleries = null;
    else refreshed.problem = problem;
    if (problem.status === 401) Object.assign(app, { keyAsked: true, galleries: null, comparators: [] });
  }
  Object.assign(app, refreshed);
  update();
}

/** The gallery that is looked at, if it is known. */
export const gallery = () => app.galleries?.find((each) => each.name === app.gallery);

/** A comparator's name, as calls take it. */
export const titled = ({ name, version }) => `${name}@${version}`;

export const comparator = (title) => app.comparators.find((each) => titled(each) === title);

export function go(view) {
  location.hash = view;
}

/** Ask before something that cannot be undone; `typed` must be typed to go on. */
export function ask(question) {
  return new Promise((resolve) => {
    app.question = { ...question, value: "", resolve };
    update();
  });
}
