// The gate's page: shows what happens at one lane, and takes codes that are typed or scanned into the browser.

import { Refused, call, keepFeed } from "./link.js";
import * as panel from "./panel.js";
import { alarm, isMuted, play, wake } from "./sound.js";
import { $, listHistory, lookOf, make, shapeOf, show, showAnswer, showNotice } from "./stage.js";
import { watchLane } from "./view.js";
import { duration, say, timeText, words } from "./words.js";

const SHOWN_MS = 6000;
const ENROLLING_MS = 40000; // the gate asks the CRM, and says within this time what came of it
const HISTORY = 8;
const SEEN = 8;
const wanted = new URLSearchParams(location.search).get("lane");

let connected = false;
let status = null; // the gate's last word
let statusAt = 0; // when it came, on this page's clock
let history = [];
let shown = null; // the answer or notice on the stage
let seen = []; // keys of the newest of them
let clearing = 0;

const here = () => status?.lanes.find((each) => each.id === (wanted ?? status.lanes[0].id)) ?? null;
const heldOpen = () => connected && Boolean(here()?.turnstile?.held_open);
const gateNow = () => (status ? Date.parse(status.clock.now) + performance.now() - statusAt : Date.now());

// --- the stage -------------------------------------------------------------------------------------------------------

function forget() {
  clearTimeout(clearing);
  shown = null;
  $("meanwhile").hidden = true;
}

/** While the panel is before the stage, say above it what happens at the gate. */
function meanwhile(look, title) {
  $("meanwhile").textContent = title;
  $("meanwhile").dataset.look = look;
  $("meanwhile").hidden = !$("panel").open;
}

function render() {
  const lane = here();
  document.body.dataset.connected = connected;
  alarm(heldOpen());
  if (!connected) return show("plug", words.offline, words.offlineText, { state: "disconnected" });
  if (!status) return undefined;
  if (!lane) return show("warn", words.noLane, say("noLaneText", status.lanes.map((each) => each.id).join(", ")), { state: "fault" });
  if (heldOpen()) return renderHeldOpen();
  if (lane.cannot_record) {
    forget();
    return show("warn", words.cannot, `${words.cannotText} ${lane.cannot_record}`, { state: "cannot-record" });
  }
  if (shown) return undefined;
  forget();
  return renderCalm(lane);
}

/** An emergency has the stage for as long as it lasts; a panel goes out of its way once. */
function renderHeldOpen() {
  if ($("stage").dataset.state !== "held-open") panel.close();
  forget();
  show("door", words.heldOpen, words.heldOpenText, { state: "held-open" });
  meanwhile("door", `${words.heldOpen}. ${words.heldOpenText}`);
  $("sound").hidden = !isMuted();
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

/** Tell whether this page has had it: all comes by the feed and to who asked, in either order. */
function isKnown(told) {
  const key = told.notice ? `${told.notice} ${told.at}` : `${told.scan_id} ${told.repeat} ${told.took_ms}`;
  if (seen.includes(key)) return true;
  seen = [key, ...seen].slice(0, SEEN);
  return false;
}

/** Show an answer or a notice that is new to this page, with its sound. */
function take(told) {
  const lane = here();
  if (told.lane !== lane?.id || isKnown(told)) return;
  if (!told.notice && !told.repeat) {
    history = [told, ...history.filter((each) => each.scan_id !== told.scan_id)].slice(0, HISTORY);
    renderHistory();
  }
  if (heldOpen() || (told.notice && lane.cannot_record)) return;
  forget();
  shown = told;
  play(lookOf(told));
  const ms = told.notice === "enrolling" ? ENROLLING_MS : SHOWN_MS;
  if (told.notice) showNotice(told, lane.tz, gateNow(), ms);
  else showAnswer(told, lane.tz, gateNow(), ms, openOverride);
  meanwhile(lookOf(told), told.title);
  $("sound").hidden = !isMuted();
  clearing = setTimeout(calm, ms);
}

function calm() {
  forget();
  render();
}

function renderHistory() {
  listHistory(history, here()?.tz, gateNow(), openOverride, panel.showPicture);
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
  $("open").hidden = !lane?.checkpoint || heldOpen(); // its hours are of no account then
  $("shift").textContent = lane?.controllers.map((each) => each.name).join(", ") || words.signIn;
  $("shift").hidden = !lane;
  document.title = [lane?.checkpoint_name ?? lane?.id, "Brama"].filter(Boolean).join(" · ");
}

/** Faults of other lanes are shown there, and what the stage says is not said again. */
function concerns(fault, lane) {
  const found = /^(?:lane ([^:]+): |(?:reader|turnstile):([^:]+)[:])/.exec(fault);
  const about = found?.[1] ?? found?.[2];
  if (!about) return true;
  if (about !== lane.id) return false;
  if (heldOpen()) return !fault.startsWith(`lane ${lane.id}: held open: `);
  return !(lane.cannot_record && fault.includes(lane.cannot_record));
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

function pulling({ tickets, total, left_s }) {
  return total === null || left_s === null ? say("pulling", tickets) : say("pullingOf", tickets, total, duration(left_s));
}

function renderFacts() {
  if (!status) return $("facts").replaceChildren();
  const { crm, data, backlog, clock } = status;
  const age = data.synced_at ? (gateNow() - Date.parse(data.synced_at)) / 1000 : null;
  const list = crm.progress ? pulling(crm.progress) : age === null ? words.never : say("ago", duration(age));
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
  if (message.kind === "verdict" || message.kind === "notice") return take(message);
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
  watchLane(here()?.id ?? null);
  if (first) loadHistory();
  return undefined;
}

function setConnected(now) {
  if (now === connected) return;
  connected = now;
  forget();
  if (now) loadHistory();
  else watchLane(null);
  render();
  tick();
}

async function scan(code) {
  const lane = here()?.id ?? wanted ?? undefined;
  try {
    take(await call("POST", "/api/v1/scans", lane ? { code, lane } : { code }));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (!connected || heldOpen()) return;
    if (error.status === 0 && shown?.notice === "enrolling") return; // the CRM is slow; the feed tells how it ends
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
