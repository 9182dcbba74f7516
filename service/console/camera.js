// A picture by the camera, shown before it is used; the camera is off as soon as it is taken.

import { html } from "./vendor/lit-html-3.3.3.js";
import { update } from "./app.js";
import { Refused, hold, release } from "./devices.js";

const QUALITY = 0.95; // of a JPEG

const now = { stream: null, shot: null, told: "" };

async function open() {
  Object.assign(now, { stream: null, shot: null, told: "Asking for the camera…" });
  update();
  try {
    now.stream = await hold("camera");
    now.told = "";
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    now.told = error.message;
  }
  update();
}

function close() {
  release();
  Object.assign(now, { stream: null, shot: null, told: "" });
}

async function take(event) {
  const video = event.target.closest(".tool").querySelector("video");
  if (!video.videoWidth) return; // nothing is seen yet
  const picture = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  picture.getContext("2d").drawImage(video, 0, 0);
  close();
  const blob = await picture.convertToBlob({ type: "image/jpeg", quality: QUALITY });
  now.shot = { blob, url: URL.createObjectURL(blob) };
  update();
}

const panel = (give) => html`<div class="tool">
  ${now.shot ? html`<img class="shot" src=${now.shot.url} alt="The picture that was taken">
    <div class="row">
      <button type="button" class="first" @click=${() => give(now.shot.blob, "jpg")}>Use the picture</button>
      <button type="button" @click=${open}>Take another</button>
    </div>`
  : html`<video class="shot" muted autoplay playsinline aria-label="What the camera sees" .srcObject=${now.stream}></video>
    <div class="row"><button type="button" class="first" ?disabled=${!now.stream} @click=${take}>Take the picture</button>
      ${now.told && !now.stream ? html`<button type="button" @click=${open}>Try again</button>` : ""}</div>`}
  <p role="status">${now.told}</p>
</div>`;

export const camera = { name: "Camera", file: "photo", takes: "image", panel, open, close };
