// The way to the gate: the live feed, which comes back by itself, and the calls.

const SILENCE_MS = 12000; // the gate sends its status every five seconds at least
const FIRST_DELAY_MS = 300;
const MOST_DELAY_MS = 3000;

/** Keep a feed open; `on.message(body)` for each message, `on.state(connected)` as that changes. */
export function keepFeed(on) {
  let delay = FIRST_DELAY_MS;
  let watch = 0;
  function open() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/api/v1/live`);
    let gone = false;
    const leave = () => {
      if (gone) return;
      gone = true;
      clearTimeout(watch);
      socket.close();
      on.state(false);
      setTimeout(open, delay);
      delay = Math.min(MOST_DELAY_MS, delay * 2);
    };
    const stay = () => {
      clearTimeout(watch);
      watch = setTimeout(leave, SILENCE_MS);
    };
    stay();
    socket.onmessage = (event) => {
      if (gone) return;
      stay();
      delay = FIRST_DELAY_MS;
      on.state(true);
      on.message(JSON.parse(event.data));
    };
    socket.onclose = leave;
    socket.onerror = leave;
    window.addEventListener("offline", leave, { once: true });
  }
  open();
}

/** A call that the gate refused, or did not answer (`status` 0). */
export class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** Call the gate's API; `body` undefined sends none. */
export async function call(method, path, body) {
  let response;
  let answer = null;
  try {
    const type = body === undefined ? {} : { "Content-Type": "application/json" };
    const sent = body === undefined ? undefined : JSON.stringify(body);
    response = await fetch(path, { method, headers: type, body: sent, signal: AbortSignal.timeout(8000) });
    if (response.status !== 204) answer = await response.json();
  } catch (error) {
    throw new Refused(0, "no_answer", String(error));
  }
  if (!response.ok) throw new Refused(response.status, answer?.error?.code ?? "", answer?.error?.message ?? "");
  return answer;
}
