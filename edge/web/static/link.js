// The way to the gate: its feeds, which come back by themselves, and the calls.

const SILENCE_MS = 12000; // the gate sends its status every five seconds at least
const FIRST_DELAY_MS = 300;
const MOST_DELAY_MS = 3000;

/**
 * Keep a socket open to a path of the gate, and open it again when it goes or is silent for `silenceMs`:
 * `on.message(data)` for each message, `on.state(connected)` as that changes. Returns how to send, and how to end it.
 */
export function keepSocket(path, silenceMs, on) {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  let delay = FIRST_DELAY_MS;
  let watch = 0;
  let socket = null; // null: between two attempts
  let again = 0;
  function leave() {
    if (socket === null) return;
    const left = socket;
    socket = null;
    clearTimeout(watch);
    left.close();
    on.state(false);
    again = setTimeout(open, delay);
    delay = Math.min(MOST_DELAY_MS, delay * 2);
  }
  function stay() {
    clearTimeout(watch);
    watch = setTimeout(leave, silenceMs);
  }
  function open() {
    const mine = new WebSocket(`${scheme}://${location.host}${path}`);
    mine.binaryType = "arraybuffer";
    socket = mine;
    stay();
    mine.onmessage = (event) => {
      if (socket !== mine) return;
      stay();
      delay = FIRST_DELAY_MS;
      on.state(true);
      on.message(event.data);
    };
    mine.onclose = () => { if (socket === mine) leave(); };
    mine.onerror = mine.onclose;
  }
  window.addEventListener("offline", leave);
  open();
  return {
    send: (text) => { if (socket?.readyState === WebSocket.OPEN) socket.send(text); },
    end: () => {
      window.removeEventListener("offline", leave);
      clearTimeout(watch);
      clearTimeout(again);
      const left = socket;
      socket = null;
      left?.close();
    },
  };
}

/** Keep the gate's live feed open; `on.message(body)` for each message, `on.state(connected)` as that changes. */
export function keepFeed(on) {
  return keepSocket("/api/v1/live", SILENCE_MS, { message: (data) => on.message(JSON.parse(data)), state: on.state });
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
