// What samples look like: as they were enrolled in this tab, or as the service shows them again.

import { html } from "./vendor/lit-html-3.3.3.js";
import { getBlob, path } from "./api.js";
import { app, update } from "./app.js";
import { picture } from "./parts.js";

const AT_ONCE = 4;

const waiting = []; // [key, path], the last asked for first
const asked = new Set();
let busy = 0;

/** The picture of a sample, or a placeholder until it is there; none where nothing is kept. */
export function preview(gallery, identity, sample) {
  const key = `${gallery}/${sample}`;
  const shown = app.pictures.get(key);
  if (shown) return shown.text === undefined ? picture(shown) : html`<q class="text">${shown.text}</q>`;
  const kept = app.galleries?.find((each) => each.name === gallery)?.keep_samples;
  if (kept && !asked.has(key)) {
    asked.add(key);
    waiting.push([key, path("galleries", gallery, "identities", identity, "samples", sample, "preview")]);
    queueMicrotask(work);
  }
  return html`<span class="glyph" aria-hidden="true">${kept ? "…" : "·"}</span>`;
}

async function work() {
  if (busy >= AT_ONCE || !waiting.length) return;
  busy++;
  const [key, where] = waiting.pop();
  try {
    const blob = await getBlob(where);
    app.pictures.set(key, blob.type.startsWith("text/")
      ? { text: await blob.text() } : { blob, url: URL.createObjectURL(blob) });
    update();
  } catch {
    // nothing is kept of it, or this key may not see it: the placeholder stays
  } finally {
    busy--;
    work();
  }
}
