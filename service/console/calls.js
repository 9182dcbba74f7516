// The call behind a screen, to be copied: as a line of curl, and in Python.

import { html, nothing } from "./vendor/lit-html-3.3.3.js";
import { key } from "./api.js";
import { onLeave, update } from "./app.js";

const ROOT = new URL("../", import.meta.url).href.replace(/\/$/, "");

const said = { told: "" };

onLeave(() => { said.told = ""; });

/** A call as others make it: how it goes on the wire, and the client's method with its arguments.

`fields` are of a form; an argument is text, a number, an item of a box, or a list of these. */
export const spoken = (method, path, fields, python) => ({
  curl: curl(method, path, fields), python: inPython(...python),
});

const curl = (method, path, fields) => [
  `curl -s${method === "GET" || fields.length ? "" : ` -X ${method}`} ${quoted(`${ROOT}/${path}`)}`,
  ...(key.get() ? ['-H "Authorization: Bearer $KINDRED_API_KEY"'] : []),
  ...fields.map(([name, value]) => value.blob ? `-F ${quoted(`${name}=@${inForm(value.name)}`)}`
    : `--form-string ${quoted(`${name}=${value.text ?? value}`)}`),
].join(" \\\n  ");

/** A file's name as curl reads it in a form, where some signs have a meaning. */
const inForm = (name) => /[;,"\\]|^\s|\s$/.test(name) ? `"${name.replace(/["\\]/g, "\\$&")}"` : name;

const quoted = (text) => /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;

function inPython(method, positional = [], named = {}) {
  const words = [...positional.map(literal), ...Object.entries(named)
    .filter(([, value]) => value !== undefined && value !== "").map(([name, value]) => `${name}=${literal(value)}`)];
  const text = words.some((word) => word.includes("Text(")) ? ", Text" : "";
  const one = words.join(", ");
  return `from kindred import Client${text}

client = Client(${literal(ROOT)})${key.get() ? "  # the key is KINDRED_API_KEY’s" : ""}
answer = client.${method}(${one.length < 80 ? one : `\n    ${words.join(",\n    ")},\n`})
print(answer)`;
}

function literal(value) {
  if (value === null || value === true || value === false) return { null: "None", true: "True", false: "False" }[value];
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  if (value.text !== undefined) return `Text(${JSON.stringify(value.text)})`;
  if (value.blob) return JSON.stringify(value.name);
  return `{${Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}: ${literal(each)}`).join(", ")}}`;
}

async function copy(event, text, language) {
  const box = event.target.closest(".command");
  try {
    await navigator.clipboard.writeText(text);
    said.told = `Copied as ${language}.`;
  } catch { // a page that is not secure may not: then it is shown, to be copied by hand
    box.querySelector("details").open = true;
    said.told = "This browser does not let the page copy: select it below.";
  }
  update();
}

/** Offer a call to be copied. */
export const asCode = (call) => call ? html`<div class="command">
  <div class="row">
    <button type="button" class="small" @click=${(event) => copy(event, call.curl, "curl")}>Copy as curl</button>
    <button type="button" class="small" @click=${(event) => copy(event, call.python, "Python")}>Copy as Python</button>
    <span class="hint" aria-live="polite">${said.told}</span>
  </div>
  <details><summary>The same call elsewhere</summary>
    <pre tabindex="0" aria-label="As curl">${call.curl}</pre><pre tabindex="0" aria-label="In Python">${call.python}</pre></details>
</div>` : nothing;

/** Offer a call that only reads; `python` is its method and what that is given. */
export const toRead = (path, ...python) => asCode(spoken("GET", path, [], python));
