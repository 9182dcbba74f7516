// A pad to draw on: black ink on white paper, as wide a line as handwriting has.

import { html } from "./vendor/lit-html-3.3.3.js";
import { update } from "./app.js";

const SIDE = 320; // pixels of the drawing
const INK = 10; // pixels of the line

const inked = new WeakSet(); // pads that hold a line
let asked = false; // whether an empty pad was to be used

const canvasNear = (target) => target.closest(".pad").querySelector("canvas");

function place(event) {
  const shown = event.currentTarget.getBoundingClientRect();
  const scale = SIDE / shown.width;
  return [(event.clientX - shown.left) * scale, (event.clientY - shown.top) * scale];
}

function start(event) {
  event.preventDefault();
  event.currentTarget.setPointerCapture(event.pointerId);
  const context = event.currentTarget.getContext("2d");
  Object.assign(context, { lineWidth: INK, lineCap: "round", lineJoin: "round", strokeStyle: "#000" });
  const [x, y] = place(event);
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(x, y);
  context.stroke();
  inked.add(event.currentTarget);
  asked = false;
  update();
}

function follow(event) {
  if (!event.currentTarget.hasPointerCapture(event.pointerId)) return;
  const context = event.currentTarget.getContext("2d");
  context.lineTo(...place(event));
  context.stroke();
}

function clear(canvas) {
  canvas.getContext("2d").clearRect(0, 0, SIDE, SIDE);
  inked.delete(canvas);
  asked = false;
  update();
}

function use(canvas, give) {
  if (!inked.has(canvas)) {
    asked = true;
    update();
    return;
  }
  const paper = new OffscreenCanvas(SIDE, SIDE);
  const context = paper.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, SIDE, SIDE);
  context.drawImage(canvas, 0, 0);
  clear(canvas);
  paper.convertToBlob({ type: "image/png" }).then((blob) => give(blob, "png"));
}

/** Show the pad; `give` gets each drawing as a PNG. */
const panel = (give) => html`<div class="pad">
  <canvas width=${SIDE} height=${SIDE} aria-label="Drawing pad; choosing a file does the same"
    role="img" @pointerdown=${start} @pointermove=${follow}></canvas>
  <div class="row">
    <button type="button" @click=${(event) => use(canvasNear(event.target), give)}>Use the drawing</button>
    <button type="button" @click=${(event) => clear(canvasNear(event.target))}>Clear</button>
    <span role="status">${asked ? "Draw something first." : ""}</span>
  </div>
</div>`;

export const pad = { name: "Draw", file: "drawing", takes: "image", panel };
