// What is done to a gallery: told in the view where it was done, and undone there.

import {
  act, app, ask, call, callOnce, get, html, nothing, path, problemBox, refresh, update,
} from "./kit.js";

const made = { busy: false, problem: null, told: "", versions: [], view: "", of: null };

export const isBusy = () => made.busy;

/** Do steps one after the other; tell what was done, also where one fails. Give the first's version.

A step gives the version that it led to. With `forgotten` words a receipt tells of what is gone. */
export async function change(told, steps, undoable = true, forgotten = "") {
  const { view, gallery: of } = app, versions = [];
  await act(made, async () => {
    shown = null;
    Object.assign(made, { view, of, told: "", versions: [] });
    try {
      for (const step of steps) {
        if (steps.length > 1) made.told = `${versions.length} of ${steps.length} done…`;
        update();
        versions.push((await step()).version);
      }
    } finally {
      const all = versions.length === steps.length;
      if (versions.length) await Promise.all([refresh(), app.enter()]);
      made.told = all ? told : versions.length ? `${versions.length} of ${steps.length} were done.` : "";
      if (undoable) made.versions = versions.filter(Boolean);
      if (all && forgotten) await readReceipt(of, versions.at(-1), forgotten);
    }
  });
  return versions[0] ?? null;
}

/** A step that asks for an edit. */
export const post = (what, fields) => () => callOnce(path("galleries", app.gallery, what), fields);

/** A step that changes a record; it gives the newest edit that is the one. */
export const patch = (parts, fields, isIt) => async () => {
  await call("PATCH", path("galleries", app.gallery, ...parts), fields);
  return (await get(path("galleries", app.gallery, "edits"))).edits.find(isIt) ?? {};
};

export const undo = (versions) => change("Undone.", versions.map((version) => post("undo", { version })).reverse(), false);

/** Forget what lies at paths under a gallery's identities, once that is confirmed. */
export async function forget(words, places) {
  const yes = await ask({
    title: `Forget ${words}?`,
    text: `Deleted from gallery ${app.gallery} for good, and found no more from that moment on. This cannot be undone.`,
    confirm: "Forget",
  });
  if (yes) await change("", places.map((place) => () =>
    call("DELETE", path("galleries", app.gallery, "identities", ...place))), false, words);
}

/** What was just done in this view, to be undone at once. */
export const lastEdit = () => {
  const here = made.view === app.view && made.of === app.gallery;
  return html`${here ? problemBox(made.problem) : nothing}
    <div role="status" tabindex="-1">${here && made.told ? html`<p class="row"><span>${made.told}</span>${
      made.versions.length ? html`<button type="button" @click=${() => undo(made.versions)}>Undo</button>` : nothing}</p>` : nothing}${here ? receiptCard() : nothing}</div>`;
};

// What became of something that was forgotten: from which places it is gone.

const AGAIN = 2000; // milliseconds until a receipt that is not complete is read again

const PLACES = {
  record: "the record in the store", idempotency_copies: "copies of answers", index: "memory",
  snapshot: "snapshots on disk", append_only_file: "the store’s log on disk",
};

let shown = null; // { receipt, what }

/** Show the receipt of a version, and look again until it is complete or another one is shown. */
async function readReceipt(gallery, version, what) {
  const asked = shown = { receipt: await get(path("galleries", gallery, "receipts", version)), what };
  update();
  if (asked.receipt.complete) return;
  setTimeout(() => {
    if (shown === asked) readReceipt(gallery, version, what).catch(() => {});
  }, AGAIN);
}

const receiptCard = () => shown ? html`<article class="card"><div class="told">
  <p class="outcome small">${shown.receipt.complete ? "Forgotten everywhere" : "Forgotten; its last bytes are leaving"}: ${shown.what}</p>
  <ul class="plain">${Object.entries(shown.receipt.erased_from).map(([place, done]) => html`<li>${
    done ? "✓ gone from" : "… still in"} ${PLACES[place] ?? place}</li>`)}</ul>
  <p class="hint">Receipt: version ${shown.receipt.version} of gallery ${shown.receipt.gallery}</p>
</div></article>` : nothing;
