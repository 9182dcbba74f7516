// How consistent identities are: how many of their samples would be named as them, each left out.

import { app, attempt, busyButton, gallery, get, html, nothing, path, problemBox } from "../kit.js";

const AGAIN = 1000; // milliseconds until a map whose outcomes are not told is asked for again

const found = { busy: false, problem: null, of: null, version: 0, tallies: null };

/** What the gallery's map tells of its samples, counted by identity. */
const check = () => attempt(found, async () => {
  const of = app.gallery;
  let map = await get(path("galleries", of, "map"));
  while (!map.outcomes && map.progress < 1 && app.view === "gallery") {
    await new Promise((resolve) => setTimeout(resolve, AGAIN));
    map = await get(path("galleries", of, "map"));
  }
  Object.assign(found, { of, version: map.version, tallies: map.outcomes ? tallied(map) : new Map() });
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
export const isChecked = () => found.of === app.gallery && found.version === (gallery()?.version ?? found.version);

/** The share of an identity's samples that would be named as it; of whom none is known, more than all. */
export function share(identity) {
  const tally = found.tallies.get(identity);
  return tally?.tried ? tally.own / tally.tried : 2;
}

export function consistency(identity) {
  const tally = found.tallies.get(identity);
  if (!tally) return "not told";
  return tally.tried ? `${tally.own} of ${tally.tried} named as it` : "only one sample";
}

/** Have it checked; what the column then tells. */
export const checking = () => html`<div class="row">${busyButton(found, "Check consistency", check, "Checking…")}
    ${isChecked() ? html`<span class="hint">How many samples would be named as their identity, if each were left out and came as a probe: the map shows which would not.</span>` : nothing}</div>
  ${problemBox(found.problem)}`;
