// Lines over an axis, drawn as SVG so that they take the page's colours; each with its table.

import { html, nothing, svg } from "./vendor/lit-html-3.3.3.js";
import { update } from "./app.js";
import { table } from "./parts.js";

const LEFT = 52, TOP = 10, BOTTOM = 180;
const small = matchMedia("(max-width: 40rem)"); // there a plot is narrower, so that its words are not small

small.addEventListener("change", update);

const SCALES = {
  linear: (value) => value,
  log: (value) => Math.log(value),
};

/** Draw lines, each `{ name, values, lower, upper, dashed, shade }` over the same places `at`; null: a gap.

`x` and `y` are axes: `{ from, to, ticks, tell, scale }`; `grey` is a span of x of which nothing is
known, `chosen` a place to be marked. `tell` says a figure in words. */
export function plot({ label, at, lines, x, y, grey = null, chosen = null }) {
  const scale = SCALES[x.scale ?? "linear"], right = small.matches ? 310 : 630;
  const [from, to] = [scale(x.from), scale(x.to)];
  const across = (value) => LEFT + (right - LEFT) * (scale(value) - from) / (to - from || 1);
  const up = (value) => BOTTOM - (BOTTOM - TOP) * Math.min(1, Math.max(0, (value - y.from) / (y.to - y.from || 1)));
  const place = (value, i) => `${across(at[i]).toFixed(1)},${up(value).toFixed(1)}`;
  return html`<figure>
    <svg class="chart" viewBox="0 0 ${right + 10} 208" role="img" aria-label="${label}; the table below has the figures">
      ${grey ? svg`<rect class="unresolved" x=${across(grey[0])} y=${TOP} width=${Math.max(0, across(grey[1]) - across(grey[0]))} height=${BOTTOM - TOP}></rect>` : nothing}
      ${y.ticks.map((value) => svg`<line class="grid" x1=${LEFT} x2=${right} y1=${up(value)} y2=${up(value)}></line>
        <text x=${LEFT - 6} y=${up(value) + 4} text-anchor="end">${y.tell(value)}</text>`)}
      ${x.ticks.map((value, i) => svg`<text x=${across(value)} y=${BOTTOM + 20}
        text-anchor=${i === x.ticks.length - 1 ? "end" : i ? "middle" : "start"}>${x.tell(value)}</text>`)}
      ${lines.map((line, i) => line.lower ? svg`<polygon class="band line${i}" points=${band(line, place)}></polygon>` : nothing)}
      ${lines.map((line, i) => runs(line.values).map((run) => svg`<polyline class=${style(line, i)}
        points=${run.map((j) => place(line.values[j], j)).join(" ")}></polyline>`))}
      ${chosen === null ? nothing : svg`<line class="chosen" x1=${across(chosen)} x2=${across(chosen)} y1=${TOP} y2=${BOTTOM}></line>`}
    </svg>
    <figcaption class="row hint">${lines.map((line, i) => html`<span>${key(line, i)} ${line.name}</span>`)}
      ${grey && grey[1] > grey[0] ? html`<span><svg class="swatch" viewBox="0 0 28 12" aria-hidden="true"><rect class="unresolved" width="28" height="12"></rect></svg> too few strangers to tell</span>` : nothing}</figcaption>
  </figure>`;
}

const style = (line, i) => `line line${line.shade ?? i} ${line.dashed ? "dashed" : ""}`;

const key = (line, i) => html`<svg class="swatch" viewBox="0 0 28 12" aria-hidden="true">${line.lower
  ? svg`<rect class="band line${i}" width="28" height="12"></rect>` : nothing}<line
  class=${style(line, i)} x1="0" x2="28" y1="6" y2="6"></line></svg>`;

function band({ lower, upper }, place) {
  const told = lower.map((_, i) => i).filter((i) => lower[i] !== null);
  return [...told.map((i) => place(upper[i], i)), ...told.reverse().map((i) => place(lower[i], i))].join(" ");
}

/** The stretches of values that are there: [1, null, 2, 3] → [[0], [2, 3]]. */
function runs(values) {
  const found = [[]];
  values.forEach((value, i) => {
    if (value !== null) found.at(-1).push(i);
    else if (found.at(-1).length) found.push([]);
  });
  return found.filter((run) => run.length);
}

/** Some round places from 0 to at least `most`. */
export function ticks(most) {
  const step = 10 ** Math.floor(Math.log10(most || 1));
  const wide = [0.5, 1, 2.5].map((each) => each * step).find((each) => most / each <= 5) ?? 5 * step;
  const found = [0];
  while (found.at(-1) < most) found.push(found.length * wide);
  return found.length > 1 ? found : [0, 1];
}

/** What a plot shows, as a table; a row is a list of cells, the first its heading. */
export const figures = (name, columns, rows) => html`<details><summary>${name}</summary>
  ${table(name, columns, rows.map(([first, ...rest]) => html`<tr><th scope="row">${first}</th>${rest.map((cell) => html`<td>${cell}</td>`)}</tr>`))}</details>`;
