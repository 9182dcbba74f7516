// Where samples come from: dropped, chosen, pasted, drawn, photographed, recorded or typed.

import { html, nothing } from "./vendor/lit-html-3.3.3.js";
import { onLeave, update } from "./app.js";
import { camera, microphone } from "./devices.js";
import { pad } from "./pad.js";
import { keep, picture } from "./parts.js";
import { count, listed } from "./words.js";

const SHOWN = 60; // tiles; the rest is counted
const ACCEPTED = { image: "image/*", audio: "audio/*,.wav,.flac,.ogg,.mp3,.aiff" };
const TOOLS = [pad, camera, microphone];

let numbered = 0;
let holder = null; // the box that has the camera or the microphone

/** What one place on a page holds: a few samples, or many. */
export const box = (label, many = true) => ({ label, many, items: [], tool: null, text: "", told: "" });

export const asItem = (blob, name, folder = "") => ({
  id: ++numbered, blob, name, folder,
  url: blob.type.startsWith("image/") ? URL.createObjectURL(blob) : null,
});

/** Take in items; a box of one sample keeps the last. */
export function add(into, items) {
  into.items = into.many ? [...into.items, ...items] : items.slice(-1);
  into.told = "";
  into.onAdd?.(items);
  update();
}

const addFiles = (into, files) => add(into, Array.from(files, (file) => asItem(file, file.name)));

/** Take in a folder's files by their paths: each folder in it is an identity. */
function addFolder(into, files) {
  const found = [], beside = [];
  for (const file of files) {
    const names = file.webkitRelativePath.split("/").slice(1);
    if (names.some((name) => name.startsWith("."))) continue;
    if (names.length > 1) found.push(asItem(file, file.name, names[0]));
    else beside.push(file.name);
  }
  add(into, found);
  tellLeftOut(into, beside);
}

function tellLeftOut(into, names) {
  if (!names.length) return;
  into.told = `Left out, because ${names.length > 1 ? "they lie" : "it lies"} beside the folders of identities: ${listed(names)}.`;
  update();
}

/** Take the files out of a paste; say whether there were any. */
export function paste(into, event) {
  const files = event.clipboardData?.files ?? [];
  if (files.length) addFiles(into, files);
  return files.length > 0;
}

/** The samples of a box, with what is typed: one a line where it holds many. */
export function samplesOf(from) {
  const lines = (from.many ? from.text.split("\n") : [from.text]).map((line) => line.trim());
  const typed = lines.filter(Boolean).map((text) => ({ id: ++numbered, name: text, text }));
  return [...from.items, ...typed];
}

/** Open a tool in a box, or put it away; a device is in one box at a time. */
function toggle(into, tool) {
  const opens = into.tool !== tool;
  putAway(into);
  if (opens) {
    into.tool = tool;
    if (tool.open) {
      if (holder) putAway(holder);
      holder = into;
      tool.open();
    }
  }
  update();
}

function putAway(from) {
  if (holder === from) {
    from.tool.close();
    holder = null;
  }
  from.tool = null;
}

onLeave(() => { if (holder) putAway(holder); });

function give(into, tool) {
  return (blob, suffix) => {
    add(into, [asItem(blob, `${tool.file}-${numbered + 1}.${suffix}`)]);
    if (tool.open) putAway(into); // a device is not kept
  };
}

async function drop(into, event) {
  event.preventDefault();
  into.over = false;
  const entries = Array.from(event.dataTransfer.items, (item) => item.webkitGetAsEntry?.());
  if (!entries.some((entry) => entry?.isDirectory)) return addFiles(into, event.dataTransfer.files);
  const found = [], beside = [];
  for (const entry of entries.filter(Boolean)) {
    const inner = entry.isDirectory ? await entriesIn(entry) : [];
    if (!inner.some((each) => each.isDirectory)) {
      await walk(entry, entry.isDirectory ? entry.name : "", found);
      continue;
    }
    for (const each of inner) {
      if (each.isDirectory) await walk(each, each.name, found);
      else if (!each.name.startsWith(".")) beside.push(each.name);
    }
  }
  add(into, found);
  tellLeftOut(into, beside);
}

/** Take in the files under an entry, all of one identity. */
async function walk(entry, identity, found) {
  if (entry.name.startsWith(".")) return;
  if (entry.isDirectory) for (const inner of await entriesIn(entry)) await walk(inner, identity, found);
  else found.push(asItem(await new Promise((resolve, reject) => entry.file(resolve, reject)), entry.name, identity));
}

async function entriesIn(folder) {
  const reader = folder.createReader(), found = [];
  for (;;) { // it gives a hundred at a time
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return found;
    found.push(...some);
  }
}

/** Show a box: what may be put into it, by its modality (null: not known), and what is in it. */
export function sampleInput(into, modality, { folders = false, tiles = true } = {}) {
  const typed = modality === "text" || modality === null;
  const filed = modality !== "text";
  const tools = TOOLS.filter((tool) => modality === null || tool.takes === modality);
  return html`<fieldset class="samples ${into.over ? "over" : ""}"
    @dragover=${(event) => { event.preventDefault(); if (!into.over) { into.over = true; update(); } }}
    @dragleave=${(event) => {
      if (event.currentTarget.contains(event.relatedTarget)) return;
      into.over = false;
      update();
    }}
    @drop=${(event) => drop(into, event)}>
    <legend>${into.label}</legend>
    ${filed ? html`<div class="row">
      <input class="choose" type="file" aria-label=${into.label} ?multiple=${into.many} accept=${ACCEPTED[modality] ?? nothing}
        @change=${(event) => { addFiles(into, event.target.files); event.target.value = ""; }}>
      ${folders ? html`<label class="file">Folder<input type="file" webkitdirectory @change=${(event) => {
          addFolder(into, event.target.files);
          event.target.value = "";
        }}></label>` : nothing}
      ${tools.map((tool) => html`<button type="button" aria-expanded=${into.tool === tool}
        @click=${() => toggle(into, tool)}>${tool.name}</button>`)}
      <span class="hint">or drop ${into.many ? "them" : "it"} here${modality === "audio" ? "" : ", or paste a picture"}</span>
    </div>
    ${into.tool && tools.includes(into.tool) ? into.tool.panel(give(into, into.tool)) : nothing}`
      : nothing}
    ${typed ? html`<label class="field">${filed ? "Or type it" : "Text"}${into.many ? ", one sample a line" : ""}
      <textarea rows=${into.many ? 4 : 2} .value=${into.text}
        @input=${keep(into, "text")}></textarea></label>` : nothing}
    ${into.told ? html`<p class="hint" role="alert">${into.told}</p>` : nothing}
    ${tiles ? tileList(into) : nothing}
  </fieldset>`;
}

const tileList = (into) => html`<ul class="tiles" aria-label="Chosen">
  ${into.items.slice(0, SHOWN).map((item) => html`<li class="tile">
    ${picture(item)}<span class="name">${item.name}</span>
    <button type="button" class="small" aria-label="Remove ${item.name}"
      @click=${() => { into.items = into.items.filter((each) => each !== item); update(); }}>×</button>
  </li>`)}
  ${into.items.length > SHOWN ? html`<li>and ${count(into.items.length - SHOWN, "more", "more")}</li>` : nothing}
</ul>`;
