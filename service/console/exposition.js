// What /metrics says, read: the text format of Prometheus, and what becomes of its counters.

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)",?/g;
const ESCAPED = { "\\n": "\n", '\\"': '"', "\\\\": "\\" };

/** Read a scrape: name → [{ labels, value }]. */
export function parse(text) {
  const found = new Map();
  for (const line of text.split("\n")) {
    const [all, name, inner = "", value] = LINE.exec(line) ?? [];
    if (!all) continue; // a comment, or nothing
    const labels = {};
    for (const [, label, quoted] of inner.matchAll(LABEL)) {
      labels[label] = quoted.replace(/\\[n"\\]/g, (each) => ESCAPED[each]);
    }
    if (!found.has(name)) found.set(name, []);
    found.get(name).push({ labels, value: value === "+Inf" ? Infinity : Number(value) });
  }
  return found;
}

/** The sum of the series of a name by one label, or of all under "". */
export function by(scrape, name, label, wanted = () => true) {
  const sums = {};
  for (const { labels, value } of scrape.get(name) ?? []) {
    if (wanted(labels)) sums[labels[label] ?? ""] = (sums[labels[label] ?? ""] ?? 0) + value;
  }
  return sums;
}

/** How much counters rose; one that fell began anew. */
export const risen = (now, before) => Object.fromEntries(Object.entries(now).map(([name, value]) => {
  const rise = value - (before[name] ?? 0);
  return [name, rise < 0 ? value : rise];
}));

/** The value below which a share of a histogram's observations lies, null of none; as PromQL has it. */
export function quantile(share, buckets) {
  const ends = Object.entries(buckets).map(([end, count]) => [end === "+Inf" ? Infinity : Number(end), count])
    .sort(([a], [b]) => a - b);
  const rank = share * (ends.at(-1)?.[1] ?? 0);
  if (!rank) return null;
  let lower = 0, below = 0;
  for (const [end, count] of ends) {
    if (count >= rank) return end === Infinity ? lower : lower + (end - lower) * (rank - below) / (count - below);
    [lower, below] = [end, count];
  }
  return lower;
}
