// The gate's page: shows what happens at one lane, and takes codes that are typed or scanned into the browser.

import { Refused, call, keepFeed } from "./link.js";
import * as panel from "./panel.js";
import { isMuted, play, wake } from "./sound.js";
import { $, listHistory, lookOf, make, shapeOf, show, showAnswer } from "./stage.js";
import { duration, say, timeText, words } from "./words.js";

const SHOWN_MS = 6000;
const HISTORY = 8;
const wanted = new URLSearchParams(location.search).get("lane");

let connected = false;
let status = null; // the gate's last word
let statusAt = 0; // when it came, on this page's clock
let history = [];
let shown = null; // the answer on the stage
let lastKey = "";
let clearing = 0;

const here = () => status?.lanes.find((each) => each.id === (wanted ?? status.lanes[0].id)) ?? null;
const gateNow = () => (status ? Date.parse(status.clock.now) + performance.now() - statusAt : Date.now());

// --- the stage -------------------------------------------------------------------------------------------------------

function forget() {
  clearTimeout(clearing);
  shown = null;
  lastKey = "";
}

function render() {
  const lane = here();
  document.body.dataset.connected = connected;
  if (!connected) return show("plug", words.offline, words.offlineText, { state: "disconnected" });
  if (!status) return undefined;
  if (!lane) return show("warn", words.noLane, say("noLaneText", status.lanes.map((each) => each.id).join(", ")), { state: "fault" });
  if (lane.cannot_record) {
    forget();
    return show("warn", words.cannot, `${words.cannotText} ${lane.cannot_record}`, { state: "cannot-record" });
  }
  return shown ? undefined : renderCalm(lane);
}

function renderCalm(lane) {
  const people = lane.controllers.map((each) => each.name).join(", ");
  const below = people ? say("onShift", people) : "";
  if (!lane.checkpoint) return show("warn", words.unassigned, words.unassignedText, { state: "fault" });
  if (lane.requires_controller && !people) {
    return show("lock", words.signInFirst, words.signInText, { state: "closed", act: words.signIn, onAct: openShift });
  }
  if (!lane.open && lane.direction !== "exit") {
    const opens = lane.opens_at ? say("opens", timeText(lane.opens_at, lane.tz, gateNow())) : words.noOpening;
    return show("lock", words.closed, opens, { state: "closed", ticket: lane.checkpoint_name, when: below });
  }
  const what = lane.direction === "exit" ? words.exitReady : words.scan;
  return show("frame", words.ready, what, { state: "ready", ticket: lane.checkpoint_name, when: below });
}

/** Show an answer that is new to this page, with its sound. */
function take(answer) {
  if (answer.lane !== here()?.id) return;
  const key = `${answer.scan_id} ${answer.repeat} ${answer.took_ms}`; // an answer comes by the feed and to who asked
  if (key === lastKey) return;
  forget();
  lastKey = key;
  shown = answer;
  play(lookOf(answer));
  showAnswer(answer, here().tz, gateNow(), SHOWN_MS, openOverride);
  $("meanwhile").textContent = answer.title;
  $("meanwhile").dataset.look = lookOf(answer);
  $("meanwhile").hidden = !$("panel").open; // what happens at the gate while someone signs in
  $("sound").hidden = !isMuted();
  if (!answer.repeat) {
    history = [answer, ...history.filter((each) => each.scan_id !== answer.scan_id)].slice(0, HISTORY);
    renderHistory();
  }
  clearing = setTimeout(calm, SHOWN_MS);
}

function calm() {
  forget();
  $("meanwhile").hidden = true;
  render();
}

function renderHistory() {
  listHistory(history, here()?.tz, gateNow(), openOverride);
}

function openOverride(answer) {
  panel.override(answer, take);
}

function openShift() {
  const lane = here();
  if (lane) panel.signIn(lane.id, lane.controllers);
}

// --- around it -------------------------------------------------------------------------------------------------------

function renderFrame() {
  const lane = here();
  $("checkpoint").textContent = lane?.checkpoint_name ?? lane?.id ?? wanted ?? "";
  $("event").textContent = [lane?.event_name, lane?.id, status?.device.name].filter(Boolean).join(" · ");
  $("open").textContent = lane ? words[lane.open ? "open" : "closed"] : "";
  $("open").className = `chip ${lane?.open ? "good" : "bad"}`;
  $("open").hidden = !lane?.checkpoint;
  $("shift").textContent = lane?.controllers.map((each) => each.name).join(", ") || words.signIn;
  $("shift").hidden = !lane;
  document.title = [lane?.checkpoint_name ?? lane?.id, "Brama"].filter(Boolean).join(" · ");
}

/** Faults of other lanes are shown there. */
function concerns(fault, lane) {
  const found = /^(?:lane ([^:]+): |(?:reader|turnstile):([^:]+)[:])/.exec(fault);
  const about = found?.[1] ?? found?.[2];
  return !about || (about === lane.id && !(lane.cannot_record && fault.includes(lane.cannot_record)));
}

function renderBanners() {
  const lane = here();
  if (!status || !lane) return $("banners").replaceChildren();
  const texts = status.faults.filter((fault) => concerns(fault, lane));
  const tickets = status.conflicts.map((each) => each.ticket_id).filter(Boolean);
  if (status.conflicts.length) texts.push(say("conflicts", status.conflicts.length, tickets.slice(0, 3).join(", ")));
  if (status.backlog.parked) texts.push(say("parked", status.backlog.parked));
  const most = window.innerHeight < 600 ? 2 : 4;
  const rest = texts.length - most;
  return $("banners").replaceChildren(...texts.slice(0, most).map((text, index) => {
    const banner = make("div", "", "banner");
    const more = rest > 0 && index === most - 1 ? ` (${say("more", rest)})` : "";
    banner.append(shapeOf("warn"), make("span", text));
    if (more) banner.append(make("b", more));
    return banner;
  }));
}

function fact(name, value, bad) {
  const item = make("li", `${name} `, bad ? "bad" : "");
  item.append(make("b", value));
  return item;
}

function renderFacts() {
  if (!status) return $("facts").replaceChildren();
  const { crm, data, backlog, clock } = status;
  const age = data.synced_at ? (gateNow() - Date.parse(data.synced_at)) / 1000 : null;
  const list = crm.progress !== null ? say("pulling", crm.progress) : age === null ? words.never : say("ago", duration(age));
  return $("facts").replaceChildren(
    fact(words.crm, words[crm.state] ?? crm.state, crm.state !== "connected" && crm.state !== "none"),
    fact(words.data, list, age === null || age > 900),
    fact(words.unsent, String(backlog.unsent), backlog.unsent > 0 && crm.state !== "connected"),
    fact(words.gateClock, words[clock.trust], clock.trust !== "trusted"),
  );
}

function tick() {
  $("clock").textContent = status && connected ? timeText(gateNow(), here()?.tz, gateNow()) : "--:--";
  renderFacts();
}

// --- what comes in ---------------------------------------------------------------------------------------------------

async function loadHistory() {
  const lane = here();
  if (!lane) return;
  try {
    const answer = await call("GET", `/api/v1/history?limit=${HISTORY}&lane=${encodeURIComponent(lane.id)}`);
    history = answer.scans;
    renderHistory();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
  }
}

function hear(message) {
  if (message.kind === "verdict") return take(message);
  if (message.kind === "passage") {
    const row = history.find((each) => each.scan_id === message.scan_id);
    if (row) row.settled = message.passage;
    return renderHistory();
  }
  if (message.kind !== "status") return undefined;
  const first = status === null || history.length === 0;
  status = message;
  statusAt = performance.now();
  renderFrame();
  renderBanners();
  tick();
  render();
  if (first) loadHistory();
  return undefined;
}

function setConnected(now) {
  if (now === connected) return;
  connected = now;
  forget();
  $("meanwhile").hidden = true;
  if (now) loadHistory();
  render();
  tick();
}

async function scan(code) {
  const lane = here()?.id ?? wanted ?? undefined;
  try {
    take(await call("POST", "/api/v1/scans", lane ? { code, lane } : { code }));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (!connected) return;
    forget();
    play("warn");
    shown = {};
    show("warn", words.error, error.status === 0 ? words.noAnswer : error.message, { state: "fault", burnMs: SHOWN_MS });
    clearing = setTimeout(calm, SHOWN_MS);
  }
}

$("scan").onsubmit = (event) => {
  event.preventDefault();
  const code = $("code").value;
  $("code").value = "";
  $("code").blur();
  if (code) scan(code);
};

// A scanner that types: its first character takes the focus to the field, wherever that was.
document.addEventListener("keydown", (event) => {
  wake();
  $("sound").hidden = true;
  if ($("panel").open || event.ctrlKey || event.altKey || event.metaKey) return;
  if (document.activeElement === $("code")) return;
  if (event.key.length === 1) $("code").focus();
}, true);
document.addEventListener("pointerdown", () => {
  wake();
  $("sound").hidden = true;
}, true);

$("code").placeholder = words.code;
$("shift").onclick = openShift;
$("sound").textContent = words.sound;
setInterval(tick, 1000);
wake();
render();
keepFeed({ message: hear, state: setConnected });
