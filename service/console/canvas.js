// Points on a canvas: drawn pixel by pixel, found under a pointer, and inside a line around them.
//
// Points are { x, y, style, chosen }: coordinates, which of the styles each has, and whether it is
// selected. A view { x, y, scale } has the point (x, y) in the middle, a unit being `scale` pixels.

export const SHAPES = ["disc", "square", "triangle", "diamond", "cross", "ring"];

const HALO_FROM = 4; // pixels of radius from which points keep each other at a distance
const ENDS_OF_RING = 0.55;

const SPREAD = {
  disc: (x, y, r) => x * x + y * y <= r * (r + 0.5),
  square: (x, y, r) => Math.abs(x) <= r * 0.85 && Math.abs(y) <= r * 0.85,
  triangle: (x, y, r) => y <= r * 0.8 && Math.abs(x) <= (y + r) * 0.58,
  diamond: (x, y, r) => Math.abs(x) + Math.abs(y) <= r * 1.2,
  cross: (x, y, r) => Math.abs(Math.abs(x) - Math.abs(y)) <= r * 0.42 && Math.abs(x) <= r * 0.9 && Math.abs(y) <= r * 0.9,
  ring: (x, y, r) => SPREAD.disc(x, y, r) && (r < 2 || !SPREAD.disc(x, y, r * ENDS_OF_RING)),
};

const stamps = new Map();

/** The rows of pixels that a shape covers around its middle: [y, from x, to x, …]. */
export function stamp(shape, radius) {
  const key = `${shape} ${radius}`;
  if (!stamps.has(key)) {
    const rows = [];
    for (let y = -radius - 1; y <= radius + 1; y++) {
      let from = null;
      for (let x = -radius - 1; x <= radius + 2; x++) {
        const covered = x <= radius + 1 && SPREAD[shape](x, y, radius);
        if (covered && from === null) from = x;
        if (!covered && from !== null) {
          rows.push(y, from, x);
          from = null;
        }
      }
    }
    stamps.set(key, Int16Array.from(rows));
  }
  return stamps.get(key);
}

/** A colour such as #0b5cad as a pixel. */
export const pixel = (hex) => {
  const value = Number.parseInt(hex.slice(1), 16);
  return (0xff000000 | (value & 255) << 16 | (value & 0xff00) | value >> 16) >>> 0;
};

/** The view that has all points in it, so many pixels from each edge. */
export function whole({ x, y }, width, height, margin = 0) {
  let [left, right, top, bottom] = [-0.01, 0.01, -0.01, 0.01];
  for (let i = 0; i < x.length; i++) {
    if (x[i] < left) left = x[i];
    if (x[i] > right) right = x[i];
    if (y[i] < top) top = y[i];
    if (y[i] > bottom) bottom = y[i];
  }
  const scale = Math.min((width - 2 * margin) / (right - left), (height - 2 * margin) / (bottom - top));
  return { x: (left + right) / 2, y: (top + bottom) / 2, scale };
}

/** Where on the canvas a point is. */
export const place = (points, i, view, width, height) => [
  (points.x[i] - view.x) * view.scale + width / 2, (points.y[i] - view.y) * view.scale + height / 2,
];

/** Which points are in view. */
export function seen(points, view, width, height) {
  const { x, y } = points, found = new Int32Array(x.length);
  const left = view.x - width / 2 / view.scale, right = view.x + width / 2 / view.scale;
  const top = view.y - height / 2 / view.scale, bottom = view.y + height / 2 / view.scale;
  let count = 0;
  for (let i = 0; i < x.length; i++) {
    if (x[i] >= left && x[i] < right && y[i] >= top && y[i] < bottom) found[count++] = i;
  }
  return found.subarray(0, count);
}

/** How large points are drawn where so many are in view. */
export const radiusOf = (count, width, height, density = 1) => Math.max(1, Math.min(
  Math.round(6 * density), Math.round(0.16 * Math.sqrt(width * height / Math.max(count, 1)))));

/** Draw points and the links between them into `pixels`, a Uint32Array of width × height. */
export function paint(pixels, width, height, points, view, { styles, paper, ink, line, links = [], radius }) {
  pixels.fill(paper);
  for (const [i, j] of links) {
    drawLine(pixels, width, height, place(points, i, view, width, height), place(points, j, view, width, height), line);
  }
  const visible = seen(points, view, width, height);
  const shapes = styles.map((style) => stamp(style.shape, radius));
  const halo = stamp("disc", radius + 1), mark = stamp("disc", radius + 3), gap = stamp("disc", radius + 1);
  for (const marked of [false, true]) { // who is selected lies above
    for (let k = 0; k < visible.length; k++) {
      const i = visible[k];
      if ((points.chosen[i] === 1) !== marked) continue;
      const x = Math.round((points.x[i] - view.x) * view.scale + width / 2);
      const y = Math.round((points.y[i] - view.y) * view.scale + height / 2);
      if (marked) {
        press(pixels, width, height, mark, x, y, ink);
        press(pixels, width, height, gap, x, y, paper);
      } else if (radius >= HALO_FROM) {
        press(pixels, width, height, halo, x, y, paper);
      }
      const style = points.style[i];
      press(pixels, width, height, shapes[style], x, y, styles[style].colour);
    }
  }
  return visible;
}

function press(pixels, width, height, rows, x, y, colour) {
  for (let k = 0; k < rows.length; k += 3) {
    const line = y + rows[k];
    if (line < 0 || line >= height) continue;
    const to = line * width + Math.min(width, x + rows[k + 2]);
    for (let at = line * width + Math.max(0, x + rows[k + 1]); at < to; at++) pixels[at] = colour;
  }
}

function drawLine(pixels, width, height, [x0, y0], [x1, y1], colour) {
  if (Math.max(x0, x1) < 0 || Math.min(x0, x1) > width || Math.max(y0, y1) < 0 || Math.min(y0, y1) > height) return;
  const steps = Math.min(Math.ceil(Math.max(Math.abs(x1 - x0), Math.abs(y1 - y0), 1)), 8 * (width + height));
  const across = (x1 - x0) / steps, down = (y1 - y0) / steps;
  for (let step = 0, x = x0, y = y0; step <= steps; step++, x += across, y += down) {
    if (x >= 0 && x < width && y >= 0 && y < height) pixels[(y | 0) * width + (x | 0)] = colour;
  }
}

/** The point nearest to a place on the canvas, within so many pixels; -1 if there is none. */
export function nearest(points, view, width, height, [x, y], within) {
  let best = -1, least = within * within;
  for (let i = 0; i < points.x.length; i++) {
    const dx = (points.x[i] - view.x) * view.scale + width / 2 - x;
    const dy = (points.y[i] - view.y) * view.scale + height / 2 - y;
    if (dx * dx + dy * dy <= least) {
      least = dx * dx + dy * dy;
      best = i;
    }
  }
  return best;
}

/** The nearest point to go to from another in a direction, such as [1, 0] for right; -1: none. */
export function beyond(points, from, [right, down]) {
  let best = -1, least = Infinity;
  for (let i = 0; i < points.x.length; i++) {
    const dx = points.x[i] - points.x[from], dy = points.y[i] - points.y[from];
    const ahead = dx * right + dy * down, aside = Math.abs(dx * down) + Math.abs(dy * right);
    if (i === from || ahead <= 0 || aside > ahead) continue;
    if (ahead + 2 * aside < least) {
      least = ahead + 2 * aside;
      best = i;
    }
  }
  return best;
}

/** The points inside a line [[x, y], …] on the canvas: its inside is filled once, then looked up. */
export function inside(points, view, width, height, corners) {
  const mask = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  mask.beginPath();
  for (const [x, y] of corners) mask.lineTo(x, y);
  mask.closePath();
  mask.fill("evenodd");
  const filled = mask.getImageData(0, 0, width, height).data;
  return seen(points, view, width, height).filter((i) => {
    const x = Math.floor((points.x[i] - view.x) * view.scale + width / 2);
    const y = Math.floor((points.y[i] - view.y) * view.scale + height / 2);
    return filled[(y * width + x) * 4 + 3] > 127;
  });
}
