// The public API, and nothing else of the service: one function for every call.

const ROOT = new URL("../", import.meta.url); // so that a path prefix of a proxy holds
const KEY = "kindred-key";
const TRIES = 4;

export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

/** What the service refused, as RFC 9457 has it; status 0: it did not answer. */
export class Problem extends Error {
  constructor(status, body, retryAfter = null) {
    super(body.detail ?? "");
    this.status = status;
    this.title = body.title ?? "The service answered in a way that is not understood";
    this.detail = body.detail ?? "";
    this.slug = (body.type ?? "").split("#").at(-1);
    this.retryAfter = retryAfter;
  }
}

const SILENT = {
  type: "#no-answer",
  title: "The service does not answer",
  detail: "It has stopped, or the network between it and this page is down.",
};

async function send(path, headers, rest) {
  if (key.get()) headers.authorization = `Bearer ${key.get()}`;
  try {
    return await fetch(new URL(path, ROOT), { headers, cache: "no-store", credentials: "omit", ...rest });
  } catch {
    throw new Problem(0, SILENT);
  }
}

/** Send one request; return its JSON, or throw a Problem. A body is a FormData, or becomes JSON. */
export async function call(method, path, body, headers = {}) {
  const sent = { ...headers };
  if (body && !(body instanceof FormData)) {
    sent["content-type"] = "application/json";
    body = JSON.stringify(body);
  }
  const answer = await send(path, sent, { method, body });
  const isJson = /\bjson\b/.test(answer.headers.get("content-type") ?? "");
  const found = isJson ? await answer.json().catch(() => null) : null; // cut off on its way
  if (found && (answer.ok || path === "health/ready")) return found;
  throw new Problem(answer.status, found ?? {}, Number(answer.headers.get("retry-after")) || null);
}

export const get = (path) => call("GET", path);

/** What a call answers, as it is; or throw a Problem. */
export async function getBlob(path) {
  const answer = await send(path, {});
  if (!answer.ok) throw new Problem(answer.status, await answer.json().catch(() => ({})));
  return answer.blob();
}

/** Send a write that may be sent again: the service knows it by its key, and does it once. */
export async function callOnce(path, body, onWait = () => {}) {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const id = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  for (let tried = 1; ; tried++) {
    try {
      return await call("POST", path, body, { "idempotency-key": id });
    } catch (problem) {
      const again = problem.status === 0 || problem.retryAfter !== null;
      if (!(problem instanceof Problem) || !again || tried === TRIES) throw problem;
      onWait(problem);
      const seconds = Math.min(problem.retryAfter ?? tried, 30);
      await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    }
  }
}

/** A path of the API; each part is escaped. */
export const path = (...parts) => parts.map(encodeURIComponent).join("/");
