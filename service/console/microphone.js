// A recording as a WAV file of 16 bits, at the device's own rate; heard again before it is used.

import { html, nothing } from "./vendor/lit-html-3.3.3.js";
import { update } from "./app.js";
import { Refused, hold, release } from "./devices.js";
import { count } from "./words.js";

const MOST_SECONDS = 60;
const SILENCE = -60; // decibels of full scale; what the meter begins with
const HEAD = 44; // bytes of a WAV file before its samples

const now = { context: null, blocks: [], level: SILENCE, peak: 0, clip: null, told: "" };

const seconds = () => now.blocks.reduce((sum, block) => sum + block.length, 0) / now.context.sampleRate;

async function record() {
  close();
  now.told = "Asking for the microphone…";
  update();
  try {
    const stream = await hold("microphone");
    if (!stream) return;
    await listen(stream);
    if (now.context) now.told = "Recording.";
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    now.told = error.message;
  }
  update();
}

async function listen(stream) {
  const context = now.context = new AudioContext();
  await context.audioWorklet.addModule(new URL("recorder.js", import.meta.url))
    .catch((error) => { if (now.context === context) throw error; });
  if (now.context !== context) return; // it was put away meanwhile
  const recorder = new AudioWorkletNode(context, "recorder", {
    channelCount: 1, channelCountMode: "explicit",
  });
  recorder.port.onmessage = ({ data }) => { if (now.context === context) keep(data); };
  context.createMediaStreamSource(stream).connect(recorder);
  recorder.connect(context.destination); // silence: what is not heard is not processed
}

function keep(block) {
  now.blocks.push(block);
  const power = block.reduce((sum, sample) => sum + sample * sample, 0) / block.length;
  now.level = Math.max(SILENCE, Math.round(10 * Math.log10(power + 1e-9)));
  now.peak = Math.max(now.peak, now.level - SILENCE);
  if (seconds() >= MOST_SECONDS) stop();
  update();
}

function stop() {
  const blob = wav(now.blocks, now.context.sampleRate);
  const told = `Recorded ${count(Number(seconds().toFixed(1)), "second")}.${
    now.peak < 10 ? " Hardly anything is to be heard in it." : ""}`;
  close();
  Object.assign(now, { clip: { blob, url: URL.createObjectURL(blob) }, told });
  update();
}

function close() {
  release();
  now.context?.close();
  Object.assign(now, { context: null, blocks: [], level: SILENCE, peak: 0, clip: null, told: "" });
}

function wav(blocks, rate) {
  const length = blocks.reduce((sum, block) => sum + block.length, 0);
  const view = new DataView(new ArrayBuffer(HEAD + 2 * length));
  const write = (at, word) => [...word].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt()));
  write(0, "RIFF");
  view.setUint32(4, HEAD - 8 + 2 * length, true);
  write(8, "WAVEfmt ");
  view.setUint32(16, 16, true); // bytes of the format
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channel
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true); // bytes a second
  view.setUint16(32, 2, true); // bytes a sample
  view.setUint16(34, 16, true); // bits a sample
  write(36, "data");
  view.setUint32(40, 2 * length, true);
  let at = HEAD;
  for (const block of blocks) {
    for (const sample of block) {
      view.setInt16(at, Math.round(Math.max(-1, Math.min(1, sample)) * 32767), true);
      at += 2;
    }
  }
  return new Blob([view], { type: "audio/wav" });
}

const panel = (give) => html`<div class="tool">
  ${now.context ? html`<div class="row">
      <button type="button" class="first danger" @click=${stop} ?disabled=${!now.blocks.length}>Stop</button>
      <label class="field">Level: ${now.level}\u00a0dB, ${now.blocks.length ? Math.floor(seconds()) : 0}\u00a0s of ${MOST_SECONDS}
        <meter min=${SILENCE} max="0" .value=${now.level}></meter></label>
    </div>` : nothing}
  ${now.clip ? html`<audio controls src=${now.clip.url} aria-label="What was recorded"></audio>` : nothing}
  ${now.context ? nothing : html`<div class="row">
      ${now.clip ? html`<button type="button" class="first" @click=${() => give(now.clip.blob, "wav")}>Use the recording</button>` : nothing}
      <button type="button" class=${now.clip ? "" : "first"} @click=${record}>${now.clip ? "Record again" : "Record"}</button>
    </div>`}
  <p role="status">${now.told}</p>
</div>`;

export const microphone = { name: "Microphone", file: "recording", takes: "audio", panel, open: () => {}, close };
