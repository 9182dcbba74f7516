// Figures and reasons as people read them.

const NOT_TOLD = "not told to this key";

/** A share as a percentage of two digits: .05 → "5 %", unbroken. */
export const rate = (share) =>
  share === null || share === undefined ? NOT_TOLD : `${trimmed(share * 100)}\u00a0%`;

/** An interval of a share that holds it in 95 % of cases. */
export const span = ([low, high]) => `${rate(low)} to ${rate(high)}`;

const trimmed = (value) => {
  if (value === 0 || value === 100) return String(value);
  if (value > 99) return value > 99.9 ? "over 99.9" : value.toFixed(1);
  const told = Number(value.toPrecision(2));
  return told < 0.0001 ? "under 0.0001" : String(told);
};

export const score = (value) =>
  value === null || value === undefined ? NOT_TOLD : value.toFixed(3);

export const count = (number, one, many = `${one}s`) =>
  `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

/** Names one after the other, the first five of them. */
export const listed = (names) => names.slice(0, 5).join(", ") + (names.length > 5 ? ` and ${names.length - 5} more` : "");

export const day = (time) => new Date(time).toLocaleString([], {
  dateStyle: "medium", timeStyle: "short",
});

export const OUTCOMES = {
  match: "Match",
  possible: "Possible",
  unknown: "Unknown",
};

export const BANDS = {
  certain: "as sure as this comparator gets",
  likely: "likely",
  possible: "possible, not enough to be named",
  no: "no",
};

const WHY_NO_MISS_RATE = {
  "empty-gallery": "nobody is enrolled",
  "gallery-too-small": "fewer than 10 identities are enrolled, too few to tell",
  "no-calibration": "the comparator brings no measured scores to tell it by",
  "rule-not-calibrated": "it was not measured for this gallery's rule",
  "samples-outside-calibration":
    "it was not measured for as many samples of each identity as here",
  "kind-unlike-calibration": "what is enrolled is unlike whatever it was measured on",
};

export const WHY_NO_POSTERIOR = {
  ...WHY_NO_MISS_RATE,
  "too-few-strangers": "the gallery has too few strangers to tell",
  "gallery-larger-than-calibrated": "it was not measured for galleries as large as this one",
  "gallery-smaller-than-calibrated": "it was not measured for galleries as small as this one",
};

/** Who judges a gallery. */
export const judges = ({ cohort_identities: strangers, own_trials: own, source }) =>
  `${count(strangers, "stranger")} of the ${source}${own ? ` and ${count(own, "trial")} of the gallery against itself` : ""}`;

/** Of which strangers it is said how many are named, where that is not all. */
export const ofWhom = (evidence) =>
  evidence.holds_for === "kin" ? "" : ", if they are like the bundle’s strangers";

/** Where a rate truly lies, after it. */
export const really = (interval) => interval ? `; really ${span(interval)}, in 95 % of cases` : "";

/** How many of the enrolled are missed, or why that is not known. */
export const missRate = ({ expected_fnir: missed, expected_fnir_reason: why }, interval) =>
  missed === null ? `not known: ${WHY_NO_MISS_RATE[why] ?? why}` : `${rate(missed)}${really(interval)}`;

const ADVICE = {
  "no-answer": "Start it again or check the network, then repeat. Nothing on this page is lost.",
  unauthenticated: "Type a key with “API key” at the top of this page.",
  forbidden: "Use a key whose role and galleries allow it.",
  "not-found": "It may have been deleted meanwhile: reload the page.",
  overloaded: "Try again in a moment.",
  "not-ready": "Wait until the service says at the top that it is ready.",
  "quota-exceeded": "Wait, or use a key with a larger quota.",
  "already-exists": "Choose another name.",
  "edit-conflict": "Look at what was done since, and undo that first.",
  "migration-conflict": "Finish or end the migration first.",
  "target-unresolvable":
    "Ask for a higher rate, or give the gallery a cohort of more strangers; the Threshold page tells how many.",
  "undecodable-input": "Send it in a format that the comparator reads, whole.",
  "unsupported-media": "Send it in a format that the comparator reads.",
  "degenerate-input": "Send one with something to be seen or heard in it.",
  "input-out-of-bounds": "Make it smaller or shorter.",
  "too-large": "Send fewer or smaller files at a time.",
  "doubtful-enrollment": "Check whose sample it is.",
  "store-unavailable": "Nothing was kept. Try again once the store answers.",
  "not-durable": "Try again: it is kept once only.",
  "store-read-only": "The store takes no writes: tell who runs it.",
};

export const advice = (problem) => ADVICE[problem.slug ?? problem.type.split("#").at(-1)] ?? "";

/** What is wrong and what to do, in one breath. */
export const explained = (problem) => [problem.title, problem.detail, advice(problem)]
  .filter((text, i, all) => text && text !== all[i - 1]).map(sentence).join(" ");

/** A text as a sentence: with a capital and a full stop. */
export const sentence = (text) =>
  text[0].toLocaleUpperCase() + text.slice(1) + (/[.!?…]$/.test(text) ? "" : ".");
