// The canvas of a map: looked at, moved and selected on, by pointer and by keys.

import { html } from "./vendor/lit-html-3.3.3.js";
import { app, update } from "./app.js";
import { beyond, inside, nearest, paint, pixel, place, radiusOf, seen, whole } from "./canvas.js";
import { preview } from "./parts.js";

const REACH = 12; // pixels of the page within which a click meets a point
const STEADY = 4; // pixels that a click may slip
const PICTURED = 60; // points in view up to which each is shown as its picture
const SIDE = 34; // pixels of a picture
const ARROWS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };

export const TOOLS = { lasso: "Draw around samples", box: "Box by two clicks", move: "Move the map" };

/** What is shown, and what is told of it: `onSelect(places, add, turn)`. */
export const plot = {
  points: { x: new Float32Array(), y: new Float32Array(), style: new Uint16Array(), chosen: new Uint8Array() },
  styles: [], links: [], samples: [], identities: [], tool: "lasso", cursor: -1, onSelect: () => {},
};

let view = null; // null: all of it
let drag = null; // { from, line, moved }
let corner = null; // of a box
let pointer = null; // where it is

const canvas = () => document.getElementById("plot");
const ratio = () => Math.min(devicePixelRatio || 1, 2);
const colour = (name) => getComputedStyle(canvas()).getPropertyValue(name).trim();
const sizes = () => [canvas().width, canvas().height];
const all = () => whole(plot.points, ...sizes(), 0.6 * SIDE * ratio());
const current = () => view ?? all();

let soon = false;

/** Draw before the next frame: once, however often it is asked for. */
export function redraw() {
  if (soon) return;
  soon = true;
  requestAnimationFrame(() => {
    soon = false;
    if (canvas()) draw(canvas());
  });
}

addEventListener("resize", redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

function draw(target) {
  const width = Math.max(1, Math.round(target.clientWidth * ratio())), height = Math.round(target.clientHeight * ratio());
  if (target.width !== width || target.height !== height) Object.assign(target, { width, height });
  const context = target.getContext("2d"), { points } = plot, at = current();
  const image = context.createImageData(width, height);
  const visible = paint(new Uint32Array(image.data.buffer), width, height, points, at, {
    styles: plot.styles.map((style) => ({ shape: style.shape, colour: pixel(colour(`--ink${style.colour}`)) })),
    paper: pixel(colour("--paper")), ink: pixel(colour("--ink")), line: pixel(colour("--line")), links: plot.links,
    radius: radiusOf(seen(points, at, width, height).length, width, height, ratio()),
  });
  context.putImageData(image, 0, 0);
  if (visible.length <= PICTURED) for (const i of visible) drawPicture(context, i, place(points, i, at, width, height));
  Object.assign(context, { lineWidth: 2 * ratio(), strokeStyle: colour("--ink") });
  drawOver(context, at, width, height, colour("--accent"));
}

function drawPicture(context, i, [x, y]) {
  const shown = app.pictures.get(`${app.gallery}/${plot.samples[i]}`);
  if (!shown) preview(app.gallery, plot.identities[i], plot.samples[i]); // asks for it
  if (!shown?.url) return;
  if (!shown.image) {
    shown.image = Object.assign(new Image(), { src: shown.url });
    shown.image.decode().then(redraw, () => {});
  }
  if (!shown.image.complete || !shown.image.naturalWidth) return;
  const side = SIDE * ratio(), { chosen, style } = plot.points;
  Object.assign(context, { fillStyle: "#fff", strokeStyle: colour(`--ink${plot.styles[style[i]].colour}`), lineWidth: (chosen[i] ? 5 : 2) * ratio() });
  context.fillRect(x - side / 2, y - side / 2, side, side);
  context.strokeRect(x - side / 2, y - side / 2, side, side);
  context.drawImage(shown.image, x - side / 2, y - side / 2, side, side);
}

/** Draw what is under way: a line, a box, where the keys are. */
function drawOver(context, at, width, height, accent) {
  context.strokeStyle = accent;
  context.beginPath();
  if (drag?.moved && plot.tool === "lasso") for (const [x, y] of drag.line) context.lineTo(x, y);
  const [from, to] = [corner ?? drag?.from, pointer];
  if (plot.tool === "box" && from && to && (corner || drag?.moved)) context.rect(...from, to[0] - from[0], to[1] - from[1]);
  if (plot.cursor >= 0) {
    const [x, y] = place(plot.points, plot.cursor, at, width, height);
    context.rect(x - 11 * ratio(), y - 11 * ratio(), 22 * ratio(), 22 * ratio());
  }
  context.stroke();
}

function spot(event) {
  const shown = canvas().getBoundingClientRect();
  return [(event.clientX - shown.left) * ratio(), (event.clientY - shown.top) * ratio()];
}

const under = (at) => nearest(plot.points, current(), ...sizes(), at, REACH * ratio());
const adds = (event) => event.shiftKey || event.ctrlKey || event.metaKey;

function press(event) {
  event.currentTarget.setPointerCapture(event.pointerId);
  drag = { from: spot(event), line: [spot(event)], moved: false };
}

function move(event) {
  const at = spot(event);
  if (drag) {
    drag.moved ||= Math.hypot(at[0] - drag.from[0], at[1] - drag.from[1]) > STEADY * ratio();
    drag.line.push(at);
    if (plot.tool === "move" && pointer) shift(pointer[0] - at[0], pointer[1] - at[1]);
  }
  pointer = at;
  if (drag || corner) return redraw();
  const met = under(at);
  if (met !== plot.cursor) point(met);
}

function release(event) {
  const done = drag, at = spot(event);
  drag = null;
  if (!done) return;
  if (plot.tool === "box" && (corner || done.moved || under(at) < 0)) return boxed(done.moved ? done.from : corner, at, adds(event));
  if (plot.tool === "lasso" && done.moved) select(done.line, adds(event));
  if (!done.moved && under(at) >= 0) plot.onSelect([under(at)], adds(event), true);
  redraw();
}

/** Have a corner of a box, or the second one: then what is in it is selected, edges included. */
function boxed(from, [x, y], add) {
  corner = from ? null : [x, y];
  if (from) {
    const [left, right, top, bottom] = [Math.min(x, from[0]) - 2, Math.max(x, from[0]) + 2, Math.min(y, from[1]) - 2, Math.max(y, from[1]) + 2];
    select([[left, top], [right, top], [right, bottom], [left, bottom]], add);
  }
  redraw();
}

const select = (line, add) => plot.onSelect(Array.from(inside(plot.points, current(), ...sizes(), line)), add);

function shift(right, down) {
  const { x, y, scale } = current();
  look({ x: x + right / scale, y: y + down / scale, scale });
}

/** Zoom, what lies at a place staying there; without one, at the middle. */
export function zoom(factor, [x, y] = sizes().map((side) => side / 2)) {
  const now = current(), [width, height] = sizes();
  const scale = Math.min(Math.max(now.scale * factor, all().scale / 2), 1e6);
  const shifted = 1 / now.scale - 1 / scale;
  look({ x: now.x + (x - width / 2) * shifted, y: now.y + (y - height / 2) * shifted, scale });
}

/** Zoom at what is selected, or at the middle. */
export function approach(factor) {
  const { x, y, chosen } = plot.points, marked = Array.from(x.keys()).filter((i) => chosen[i]);
  const mean = (of) => marked.reduce((sum, i) => sum + of[i], 0) / marked.length;
  if (marked.length) look({ x: mean(x), y: mean(y), scale: current().scale });
  zoom(factor);
}

export const showAll = () => look(null);

/** Whether all of the map is looked at. */
export const isWhole = () => view === null;

function look(next) {
  if (isWhole() !== (next === null)) update();
  view = next;
  redraw();
}

function wheel(event) {
  if (!(event.ctrlKey || event.metaKey || document.activeElement === canvas())) return; // the page scrolls
  event.preventDefault();
  zoom(Math.exp(-event.deltaY / 400), spot(event));
}

/** Let the keys be at a point, which is told. */
function point(i) {
  plot.cursor = i;
  redraw();
  update();
}

function follow(i) {
  const [x, y] = place(plot.points, i, current(), ...sizes()), [width, height] = sizes();
  if (x < 0 || y < 0 || x > width || y > height) shift(x - width / 2, y - height / 2);
  point(i);
}

function onKey(event) {
  const direction = ARROWS[event.key], { cursor } = plot;
  if (direction && event.shiftKey) shift(direction[0] * 60 * ratio(), direction[1] * 60 * ratio());
  else if (direction) {
    const next = cursor < 0 ? nearest(plot.points, current(), ...sizes(), sizes().map((side) => side / 2), Infinity)
      : beyond(plot.points, cursor, direction);
    if (next >= 0) follow(next);
  } else if (event.key === "Enter" || event.key === " ") {
    if (cursor >= 0) plot.onSelect([cursor], true, true);
  } else if (event.key === "b" && cursor >= 0) {
    plot.tool = "box";
    pointer = place(plot.points, cursor, current(), ...sizes());
    boxed(corner, pointer, true);
    update();
  } else if (event.key === "+" || event.key === "=") zoom(1.5, cursor >= 0 ? place(plot.points, cursor, current(), ...sizes()) : undefined);
  else if (event.key === "-") zoom(1 / 1.5);
  else if (event.key === "0") showAll();
  else return;
  event.preventDefault();
}

/** Give up what is half drawn; whether there was something. */
export function giveUp() {
  const half = Boolean(corner || drag);
  corner = drag = null;
  redraw();
  return half;
}

/** Another map: nothing of the last one's view holds. */
export function forgetView() {
  view = corner = drag = pointer = null;
  plot.cursor = -1;
}

const leavePointer = () => { pointer = null; };

export const plotted = (label) => {
  redraw();
  return html`<canvas id="plot" class="plot" tabindex="0" role="application" aria-label=${label}
    aria-describedby="plot-keys" @pointerdown=${press} @pointermove=${move} @pointerup=${release} @pointercancel=${giveUp}
    @pointerleave=${leavePointer} @wheel=${wheel} @keydown=${onKey}></canvas>`;
};
