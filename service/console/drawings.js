// Twenty drawings to begin with, and three to ask about: the service brings them, like this page.

import { getBlob, path } from "./api.js";
import { update } from "./app.js";
import { asItem } from "./inputs.js";

const LETTERS = ["01", "02", "04", "08", "10", "11", "14", "16", "21", "22"].map((each) => `greek-${each}`);
const HANDS = [1, 3];

/** Whether they were taken, so that there is something to ask about. */
export const drawings = { taken: false };

export const TRIALS = [
  { words: "An enrolled letter, by another hand", drawing: ["greek-21", 5], percent: "" },
  { words: "A letter that nobody enrolled", drawing: ["greek-24", 1], percent: "" },
  { words: "An odd one, if only 1\u00a0% may be wrong", drawing: ["greek-16", 4], percent: "1" },
];

/** Fetch one drawing as a sample. */
export async function drawn([letter, hand]) {
  const blob = await getBlob(path("console", "drawings", letter, `${hand}.png`));
  return asItem(new File([blob], `${letter}-${hand}.png`, { type: "image/png" }), `${letter}-${hand}.png`, letter);
}

/** Fetch those that are to be enrolled, each in the folder of its letter. */
export async function firstDrawings() {
  const found = await Promise.all(LETTERS.flatMap((letter) => HANDS.map((hand) => drawn([letter, hand]))));
  drawings.taken = true;
  update();
  return found;
}
