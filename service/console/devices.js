// The camera and the microphone: asked for, held by one place at a time, and put away.

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

/** Why there is no device, in words for whoever asked for it. */
export class Refused extends Error {}

/** Ask for a device; give its stream, or null where it was put away meanwhile. */
export async function hold(device) {
  release();
  const mine = turn;
  const refuse = (words) => { throw new Refused(words.replace("{}", device)); };
  if (!navigator.mediaDevices) refuse(INSECURE);
  const stream = await navigator.mediaDevices.getUserMedia(WANTED[device])
    .catch((error) => refuse(WHY[error.name] ?? `The {} cannot be used: ${error.message}.`));
  if (mine === turn) return (held = stream);
  stop(stream);
  return null;
}

/** Put away what is held: its light goes off. */
export function release() {
  turn++;
  if (held) stop(held);
  held = null;
}

const stop = (stream) => stream.getTracks().forEach((track) => track.stop());
