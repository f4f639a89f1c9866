// The page for aiming a camera: what it sees, what it reads there, and what would make it read better.

import { say, words } from "./camera-words.js";
import { Refused, call } from "./link.js";
import { keepPictures, outline, paint, shortened, symbologyOf, visible } from "./picture.js";

const $ = (id) => document.getElementById(id);
const WIDTH = 960;
const EVERY_MS = 100;
const LIST_MS = 3000;
const STALL_MS = 3000;
const READ_MS = 1500; // so long a read stays new
const READS = 8;
const LABEL_CHARS = 32;
const LIST_CHARS = 120;

let cameras = null; // null: not heard yet
let chosen = new URLSearchParams(location.search).get("camera");
let stop = null; // ends the feed of the chosen camera
let state = null; // what the gate said of it last; null: it is not heard
let pictureAt = 0; // when a picture came last, on this page's clock; 0: none yet
let readAt = -READ_MS;
let newest = null; // the newest picture's header
let reads = [];

function make(tag, text) {
  const node = document.createElement(tag);
  node.textContent = text;
  return node;
}

// --- the picture -----------------------------------------------------------------------------------------------------

function label(code) {
  const node = make("span", `${symbologyOf(code.symbology)} ${shortened(visible(code.text), LABEL_CHARS)}`);
  const [left, top, bottom] = [
    Math.min(...code.corners.map(([x]) => x)),
    Math.min(...code.corners.map(([, y]) => y)),
    Math.max(...code.corners.map(([, y]) => y)),
  ];
  const below = bottom < 0.88;
  node.style.left = `${Math.min(70, Math.max(0, left * 100))}%`;
  node.style.top = `${(below ? bottom : Math.max(0.1, top)) * 100}%`;
  if (!below) node.className = "above";
  return node;
}

/** Return which part of the picture's width a code takes. */
function widthOf(code) {
  const across = code.corners.map(([x]) => x);
  return Math.max(...across) - Math.min(...across);
}

function see(header, bitmap) {
  paint($("picture"), bitmap);
  $("view").style.setProperty("--ratio", header.width / header.height);
  outline($("outlines"), header);
  $("labels").replaceChildren(...header.outlines.map(label));
  pictureAt = performance.now();
  newest = header;
  if (header.outlines.length) readAt = pictureAt;
  for (const code of header.outlines) note(code, header);
  render();
}

/** List a code that was read, the newest first, each once; where nothing moved it was not read anew. */
function note(code, header) {
  const same = (each) => each.text === code.text && each.symbology === code.symbology;
  const before = reads.find(same);
  if (before && header.step === "still") return;
  const entry = { ...code, count: (before?.count ?? 0) + 1, tookMs: header.took_ms, step: header.step };
  reads = [entry, ...reads.filter((each) => !same(each))].slice(0, READS);
}

// --- beside it -------------------------------------------------------------------------------------------------------

function figure(value, name) {
  const item = make("li", "");
  item.append(make("b", value), make("small", name));
  return item;
}

function renderFigures() {
  const code = newest?.outlines[0];
  const still = newest?.step === "still";
  const looked = newest && !still;
  $("figures").replaceChildren(
    figure(state?.fps === null || !state ? "–" : state.fps.toFixed(0), words.frames),
    figure(looked ? newest.took_ms.toFixed(1) : "–", words.decoding),
    figure(still ? words.still : newest?.step || "–", words.step),
    figure(code ? `${Math.round(widthOf(code) * 100)} %` : "–", words.size),
  );
}

function hint() {
  if (!state || state.brightness === null || $("view").dataset.state !== "live") return ["", ""];
  if (state.hint === "too_dark" || state.hint === "too_bright") return [words[state.hint], "bad"];
  if (performance.now() - readAt < READ_MS) return [words.good, "good"];
  return state.hint ? [words[state.hint], "bad"] : [words.hold, ""];
}

function renderGauges() {
  for (const [id, value] of [["light", state?.brightness], ["focus", state?.sharpness]]) $(id).value = value ?? 0;
  [$("hint").textContent, $("hint").className] = hint();
}

function renderReads() {
  $("last").hidden = !reads.length;
  $("reads").replaceChildren(...reads.map((each) => {
    const item = make("li", "");
    const about = [symbologyOf(each.symbology), each.symbology, each.step, `${each.tookMs.toFixed(1)} ${words.took}`];
    if (each.count > 1) about.push(say("times", each.count));
    item.append(make("b", shortened(visible(each.text), LIST_CHARS)), make("small", about.join(" · ")));
    return item;
  }));
}

/** Say what stands in the picture's place, or over it. */
function instead() {
  if (cameras?.length === 0) return ["none", words.noCamera, words.noCameraText];
  if (!state) return ["offline", words.offline, words.offlineText];
  if (state.state === "lost" || state.state === "stopped") return ["lost", words.lostText, state.error ?? ""];
  if (!pictureAt) return ["waiting", words.waiting, ""];
  const silentMs = state.frames === null ? 0 : performance.now() - pictureAt; // a folder has no frames to wait for
  if (silentMs > STALL_MS) return ["stalled", say("stalled", Math.floor(silentMs / 1000)), ""];
  return ["live", "", ""];
}

function render() {
  const [kind, title, text] = instead();
  $("view").dataset.state = kind;
  $("instead-title").textContent = title;
  $("instead-text").textContent = visible(text);
  const here = cameras?.find((each) => each.id === chosen);
  $("title").textContent = [words.title, here?.lane, here && visible(here.device)].filter(Boolean).join(" · ");
  document.title = [chosen, words.title, "Brama"].filter(Boolean).join(" · ");
  const reading = kind === "live" && performance.now() - readAt < READ_MS;
  $("state").textContent = reading ? words.reads : words[state?.state] ?? (kind === "offline" ? words.offline : "");
  $("state").className = reading ? "good" : ["running", "starting"].includes(state?.state) ? "" : "bad";
  $("state").hidden = !$("state").textContent;
  renderFigures();
  renderGauges();
  renderReads();
}

// --- which camera ----------------------------------------------------------------------------------------------------

function choose(id) {
  stop?.();
  chosen = id;
  state = newest = null;
  reads = [];
  pictureAt = 0;
  history.replaceState(null, "", `?camera=${encodeURIComponent(id)}`);
  stop = keepPictures(id, WIDTH, EVERY_MS, {
    picture: see,
    state: (told) => { state = told; if (!told) pictureAt = 0; render(); },
  });
  renderChoice();
  render();
}

function renderChoice() {
  $("which").hidden = cameras.length < 2;
  $("which").replaceChildren(...cameras.map((each) => {
    const button = make("button", each.id);
    button.type = "button";
    button.setAttribute("aria-pressed", each.id === chosen);
    button.onclick = () => choose(each.id);
    return button;
  }));
}

/** Ask which cameras there are, until there is one to show. */
async function list() {
  try {
    ({ cameras } = await call("GET", "/api/v1/cameras"));
    const there = cameras.find((each) => each.id === chosen) ?? cameras[0];
    if (there) choose(there.id);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
  }
  render();
  if (!stop) setTimeout(list, LIST_MS);
}

$("light-name").textContent = words.light;
$("focus-name").textContent = words.focus;
$("last").textContent = words.last;
setInterval(render, 500);
render();
list();
