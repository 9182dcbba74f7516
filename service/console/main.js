// The page around the views: what is served, the key, the dialog, and which view is shown.

import { html, nothing, render } from "./vendor/lit-html-3.3.3.js";
import { app, attempt, leave, onUpdate, refresh, update } from "./app.js";
import { key } from "./api.js";
import { problemBox } from "./parts.js";
import * as overview from "./views/overview.js";
import * as verify from "./views/verify.js";
import * as identify from "./views/identify.js";
import * as enroll from "./views/enroll.js";
import * as gallery from "./views/gallery.js";
import * as threshold from "./views/threshold.js";
import * as health from "./views/health.js";
import * as comparators from "./views/comparators.js";

/** A view that most visits do without, fetched when it is first looked at. */
function later(title, load) {
  const found = {
    title,
    view: () => html`<p role="status">${found.failed ? "It could not be fetched. Look again later." : "…"}</p>`,
    async enter() {
      try {
        Object.assign(found, await load());
      } catch {
        found.failed = true;
      }
      if (!found.failed && VIEWS[app.view] === found) found.enter();
      update();
    },
  };
  return found;
}

const map = later("Map", () => import("./views/map.js"));
const live = later("Live", () => import("./views/live.js"));
const VIEWS = { overview, verify, identify, enroll, gallery, map, threshold, health, live, comparators };

const entry = { value: "", busy: false, told: "" };

function show() {
  const asked = location.hash.slice(1);
  app.view = asked in VIEWS ? asked : "overview";
  document.title = `${VIEWS[app.view].title} · Kindred`;
  VIEWS[app.view].enter?.();
  update();
}

function moveFocus() {
  leave();
  show();
  queueMicrotask(() => {
    document.querySelector("h1")?.focus();
    scrollTo(0, 0);
  });
}

const page = () => html`
  <header>
    <a class="skip" href="#" @click=${(event) => {
      event.preventDefault();
      document.querySelector("h1").focus();
    }}>Skip to the content</a>
    <div class="row bar">
      <strong class="brand">Kindred</strong>
      ${readiness()}
      <button type="button" aria-expanded=${app.keyAsked} @click=${() => {
        app.keyAsked = !app.keyAsked;
        update();
      }}>API key${key.get() ? " (set)" : ""}</button>
    </div>
    <nav aria-label="Views"><ul>
      ${Object.entries(VIEWS).map(([name, view]) => html`<li><a href="#${name}"
        aria-current=${name === app.view ? "page" : nothing}>${view.title}</a></li>`)}
      <li><a href="../docs">API</a></li>
    </ul></nav>
    ${app.keyAsked ? keyForm() : nothing}
  </header>
  <main>
    <h1 tabindex="-1">${VIEWS[app.view].title}</h1>
    ${app.problem && !(app.keyAsked && app.problem.status === 401) ? problemBox(app.problem) : nothing}
    ${VIEWS[app.view].view()}
  </main>
  ${dialog()}`;

const readiness = () => {
  if (app.ready === null) return html`<span class="state">…</span>`;
  const [style, sign, words] = app.ready.ready ? ["good", "●", "ready"] : ["bad", "▲", "not ready"];
  return html`<span class="state ${style}"><span aria-hidden="true">${sign}</span> ${words}</span>`;
};

/** The first sign of a key that no header can carry. */
const unsendable = (text) => text.match(/[^!-~]/u)?.[0];

const keyForm = () => html`<form class="row key" @submit=${(event) => {
  event.preventDefault();
  const wrong = unsendable(entry.value.trim());
  entry.told = wrong ? `A key cannot have “${wrong}” in it: copy it once more.` : "";
  if (wrong) return update();
  return attempt(entry, async () => {
    key.set(entry.value.trim());
    entry.value = "";
    app.keyAsked = false;
    await refresh();
    VIEWS[app.view].enter?.();
  });
}}>
  <label class="field">API key <input type="password" autocomplete="off" required
    .value=${entry.value} @input=${(event) => { entry.value = event.target.value; }}></label>
  <button class="first">Use it</button>
  ${key.get() ? html`<button type="button" @click=${() => {
    key.forget();
    location.reload(); // with all that was told to it
  }}>Forget it</button>` : nothing}
  <span class="hint" role="status">${entry.told ? entry.told : app.problem?.status === 401
    ? (key.get() ? "This key does not open the service." : "The service needs a key.")
    : "It is kept until this tab is closed."}</span>
</form>`;

const answer = (yes) => {
  const { resolve } = app.question;
  document.querySelector("dialog").close();
  app.question = null;
  update();
  resolve(yes);
};

const dialog = () => {
  const question = app.question;
  return html`<dialog aria-labelledby="question" @cancel=${(event) => {
    event.preventDefault();
    answer(false);
  }}>${question ? html`<form @submit=${(event) => {
    event.preventDefault();
    answer(true);
  }}>
    <h2 id="question">${question.title}</h2>
    <p>${question.text}</p>
    ${question.typed ? html`<label class="field">Type ${question.typed} to go on
      <input autocomplete="off" .value=${question.value} @input=${(event) => {
        question.value = event.target.value;
        update();
      }}></label>` : nothing}
    <div class="row">
      <button class="first danger" ?disabled=${question.typed && question.value !== question.typed}
        >${question.confirm}</button>
      <button type="button" @click=${() => answer(false)}>Cancel</button>
    </div>
  </form>` : nothing}</dialog>`;
};

onUpdate(() => {
  render(page(), document.getElementById("app"));
  const box = document.querySelector("dialog");
  if (app.question && !box.open) box.showModal();
});

addEventListener("hashchange", moveFocus);
addEventListener("hashchange", refresh); // others make galleries too
addEventListener("paste", (event) => {
  const words = event.clipboardData?.types.includes("text/plain");
  if (words && event.target.matches?.("textarea, input:not([type=file])")) return; // they are for the field
  if (VIEWS[app.view].paste?.(event)) event.preventDefault();
});
for (const kind of ["dragover", "drop"]) { // a file dropped beside a box must not leave the page
  addEventListener(kind, (event) => event.preventDefault());
}

app.enter = () => VIEWS[app.view].enter?.();
show();
refresh().then(() => VIEWS[app.view].enter?.());
