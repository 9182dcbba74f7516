// What became of something that was forgotten: from which places it is gone.

import { html, nothing } from "./vendor/lit-html-3.3.3.js";
import { get, path } from "./api.js";
import { update } from "./app.js";

const AGAIN = 2000; // milliseconds until a receipt that is not complete is read again

const PLACES = {
  record: "the record in the store", idempotency_copies: "copies of answers", index: "memory",
  snapshot: "snapshots on disk", append_only_file: "the store’s log on disk",
};

let shown = null; // { receipt, what }

export function forgetReceipt() {
  shown = null;
}

/** Show the receipt of a version, and look again until it is complete or another one is shown. */
export async function readReceipt(gallery, version, what) {
  const asked = shown = { receipt: await get(path("galleries", gallery, "receipts", version)), what };
  update();
  if (asked.receipt.complete) return;
  setTimeout(() => {
    if (shown === asked) readReceipt(gallery, version, what).catch(() => {});
  }, AGAIN);
}

export const receiptCard = () => shown ? html`<article class="card"><div class="told">
  <p class="outcome small">${shown.receipt.complete ? "Forgotten everywhere" : "Forgotten; its last bytes are leaving"}: ${shown.what}</p>
  <ul class="plain">${Object.entries(shown.receipt.erased_from).map(([place, done]) => html`<li>${
    done ? "✓ gone from" : "… still in"} ${PLACES[place] ?? place}</li>`)}</ul>
  <p class="hint">Receipt: version ${shown.receipt.version} of gallery ${shown.receipt.gallery}</p>
</div></article>` : nothing;
