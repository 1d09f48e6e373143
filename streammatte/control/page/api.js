// The token, and everything that goes to the server and comes back.

const KEPT = "streammatte-token";

/** Take the token out of the address bar, where shoulders and histories would see it. */
export function takeToken(text = location.hash) {
  const found = /(?:^|[#&])token=([\w-]+)/.exec(text) ?? /^\s*([\w-]{16,})\s*$/.exec(text);
  if (found) sessionStorage.setItem(KEPT, found[1]);
  if (location.hash) history.replaceState(null, "", location.pathname);
  return Boolean(found);
}

export function hasToken() {
  return sessionStorage.getItem(KEPT) !== null;
}

export function forgetToken() {
  sessionStorage.removeItem(KEPT);
}

/** What the server said no to; status 0 means that it was not reached. */
export class Refused extends Error {
  constructor(status, reason) {
    super(reason);
    this.status = status;
  }
}

async function send(method, path, body, type) {
  const headers = { Authorization: `Bearer ${sessionStorage.getItem(KEPT)}` };
  if (type) headers["Content-Type"] = type;
  let answer;
  try {
    answer = await fetch(path, { method, headers, body, cache: "no-store", credentials: "omit" });
  } catch {
    throw new Refused(0, "StreamMatte cannot be reached; nothing was changed");
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  throw new Refused(answer.status, told.error ?? `the server answered ${answer.status}`);
}

/** Ask for JSON, with JSON or a file. */
export async function ask(method, path, told) {
  if (told instanceof Blob) {
    return (await send(method, path, told, told.type || "application/octet-stream")).json();
  }
  const body = told === undefined ? undefined : JSON.stringify(told);
  return (await send(method, path, body, body && "application/json")).json();
}

export async function picture(path) {
  return (await send("GET", path)).blob();
}

/** Open a WebSocket; the token travels as a subprotocol, not in the address. */
export function listen(path) {
  const token = sessionStorage.getItem(KEPT);
  return new WebSocket(`ws://${location.host}${path}`, ["streammatte", `token.${token}`]);
}
