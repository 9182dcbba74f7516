// A picture by the camera, a recording by the microphone: asked for, shown or heard, and then used.

import { html, nothing } from "./vendor/lit-html-3.3.3.js";
import { update } from "./app.js";
import { count } from "./words.js";

const WANTED = {
  camera: { video: { facingMode: "environment", width: { ideal: 1280 } } },
  microphone: { // as it is heard: what calls need would change who a voice seems to be
    audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false },
  },
};

const WHY = {
  NotAllowedError: "This browser does not let the page use the {}. Allow it in the settings of the page, beside its address, and try again; or choose a file.",
  NotFoundError: "There is no {} here. Choose a file.",
  NotReadableError: "The {} is used by another program. Close that and try again, or choose a file.",
};
const INSECURE = "Browsers lend the {} to secure pages only: open this one by HTTPS, or at localhost. Choosing a file works everywhere.";

let held = null;
let turn = 0;

/** Ask for a device; give its stream, or null where it was refused or put away meanwhile: `place` tells. */
async function hold(device, place) {
  release();
  const mine = turn;
  const tell = (words) => {
    if (mine === turn) place.told = words.replace("{}", device);
    update();
    return null;
  };
  if (!navigator.mediaDevices) return tell(INSECURE);
  tell("Asking for the {}…");
  try {
    const stream = await navigator.mediaDevices.getUserMedia(WANTED[device]);
    tell("");
    if (mine === turn) return (held = stream);
    stop(stream);
    return null;
  } catch (error) {
    return tell(WHY[error.name] ?? `The {} cannot be used: ${error.message}.`);
  }
}

/** Put away what is held: its light goes off. */
function release() {
  turn++;
  if (held) stop(held);
  held = null;
}

const stop = (stream) => stream.getTracks().forEach((track) => track.stop());

// A picture: the camera is off as soon as it is taken.

const QUALITY = 0.95; // of a JPEG

const seen = { stream: null, shot: null, told: "" };

async function look() {
  lookAway();
  seen.stream = await hold("camera", seen);
  update();
}

function lookAway() {
  release();
  Object.assign(seen, { stream: null, shot: null, told: "" });
}

async function take(event) {
  const video = event.target.closest(".tool").querySelector("video");
  if (!video.videoWidth) return; // nothing is seen yet
  const picture = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  picture.getContext("2d").drawImage(video, 0, 0);
  lookAway();
  const blob = await picture.convertToBlob({ type: "image/jpeg", quality: QUALITY });
  seen.shot = { blob, url: URL.createObjectURL(blob) };
  update();
}

const viewfinder = (give) => html`<div class="tool">
  ${seen.shot ? html`<img class="shot" src=${seen.shot.url} alt="The picture that was taken">
    <div class="row">
      <button type="button" class="first" @click=${() => give(seen.shot.blob, "jpg")}>Use the picture</button>
      <button type="button" @click=${look}>Take another</button>
    </div>`
  : html`<video class="shot" muted autoplay playsinline aria-label="What the camera sees" .srcObject=${seen.stream}></video>
    <div class="row"><button type="button" class="first" ?disabled=${!seen.stream} @click=${take}>Take the picture</button>
      ${seen.told && !seen.stream ? html`<button type="button" @click=${look}>Try again</button>` : ""}</div>`}
  <p role="status">${seen.told}</p>
</div>`;

export const camera = { name: "Camera", file: "photo", takes: "image", panel: viewfinder, open: look, close: lookAway };

// A recording: a WAV file of 16 bits, at the device's own rate.

const MOST_SECONDS = 60;
const SILENCE = -60; // decibels of full scale; what the meter begins with
const HEAD = 44; // bytes of a WAV file before its samples

const heard = { context: null, blocks: [], level: SILENCE, peak: 0, clip: null, told: "" };

const seconds = () => heard.blocks.reduce((sum, block) => sum + block.length, 0) / heard.context.sampleRate;

async function record() {
  hush();
  const stream = await hold("microphone", heard);
  if (stream) await listen(stream);
}

async function listen(stream) {
  const context = heard.context = new AudioContext();
  await context.audioWorklet.addModule(new URL("recorder.js", import.meta.url))
    .catch((error) => { if (heard.context === context) throw error; });
  if (heard.context !== context) return; // it was put away meanwhile
  const node = new AudioWorkletNode(context, "recorder", {
    channelCount: 1, channelCountMode: "explicit",
  });
  node.port.onmessage = ({ data }) => { if (heard.context === context) keep(data); };
  context.createMediaStreamSource(stream).connect(node);
  node.connect(context.destination); // silence: what is not heard is not processed
  heard.told = "Recording.";
  update();
}

function keep(block) {
  heard.blocks.push(block);
  const power = block.reduce((sum, sample) => sum + sample * sample, 0) / block.length;
  heard.level = Math.max(SILENCE, Math.round(10 * Math.log10(power + 1e-9)));
  heard.peak = Math.max(heard.peak, heard.level - SILENCE);
  if (seconds() >= MOST_SECONDS) finish();
  update();
}

function finish() {
  const blob = wav(heard.blocks, heard.context.sampleRate);
  const told = `Recorded ${count(Number(seconds().toFixed(1)), "second")}.${
    heard.peak < 10 ? " Hardly anything is to be heard in it." : ""}`;
  hush();
  Object.assign(heard, { clip: { blob, url: URL.createObjectURL(blob) }, told });
  update();
}

function hush() {
  release();
  heard.context?.close();
  Object.assign(heard, { context: null, blocks: [], level: SILENCE, peak: 0, clip: null, told: "" });
}

/** A WAV file: the numbers in it have their lowest byte first, as they have in every browser. */
const wav = (blocks, rate) => {
  const bytes = 2 * blocks.reduce((sum, block) => sum + block.length, 0);
  return new Blob([
    "RIFF", Uint32Array.of(HEAD - 8 + bytes), "WAVEfmt ", Uint32Array.of(16), // bytes of the format:
    Uint16Array.of(1, 1), Uint32Array.of(rate, 2 * rate), // PCM, channels; samples, bytes a second
    Uint16Array.of(2, 16), "data", Uint32Array.of(bytes), // bytes, bits a sample
    ...blocks.map((block) => Int16Array.from(block, (sample) => Math.round(Math.max(-1, Math.min(1, sample)) * 32767))),
  ], { type: "audio/wav" });
};

const recorder = (give) => html`<div class="tool">
  ${heard.context ? html`<div class="row">
      <button type="button" class="first danger" aria-disabled=${!heard.blocks.length}
        @click=${() => heard.blocks.length && finish()}>Stop</button>
      <label class="field">Level: ${heard.level}\u00a0dB, ${heard.blocks.length ? Math.floor(seconds()) : 0}\u00a0s of ${MOST_SECONDS}
        <meter min=${SILENCE} max="0" .value=${heard.level}></meter></label>
    </div>` : nothing}
  ${heard.clip ? html`<audio controls src=${heard.clip.url} aria-label="What was recorded"></audio>` : nothing}
  ${heard.context ? nothing : html`<div class="row">
      ${heard.clip ? html`<button type="button" class="first" @click=${() => give(heard.clip.blob, "wav")}>Use the recording</button>` : nothing}
      <button type="button" class=${heard.clip ? "" : "first"} @click=${record}>${heard.clip ? "Record again" : "Record"}</button>
    </div>`}
  <p role="status">${heard.told}</p>
</div>`;

export const microphone = { name: "Microphone", file: "recording", takes: "audio", panel: recorder, open: () => {}, close: hush };
