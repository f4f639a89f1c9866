// The stage: one verdict or notice, or what the lane is waiting for. All texts of others are set as text, never as markup.

import { say, timeText, words } from "./words.js";

export const $ = (id) => document.getElementById(id);
const stage = $("stage");
const NOTICES = { noted: "card", refused: "cross", again: "eye" };
let burning = null;

/** Return the shape that stands for an answer or a notice; colour, sound and words go with it. */
export function lookOf(answer) {
  if (answer.notice) return NOTICES[answer.look] ?? "card";
  if (answer.verdict === "admitted") return "tick";
  if (answer.verdict === "exited") return "out";
  return answer.reason === "unreadable" ? "eye" : "cross";
}

/** Tell whether a supervisor may admit after this answer. */
export function canOverride(answer) {
  return answer.verdict === "refused" && !["unreadable", "not_passed"].includes(answer.reason);
}

function put(id, text) {
  const node = $(id);
  node.textContent = text ?? "";
  node.hidden = !text;
}

function fits() {
  const room = stage.querySelector(".words");
  const style = getComputedStyle(stage);
  let height = stage.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom);
  const shape = stage.querySelector(".shape");
  if (room.offsetLeft <= shape.offsetLeft) height -= shape.offsetHeight + parseFloat(style.rowGap);
  return room.scrollHeight <= height + 1 && $("title").scrollWidth <= $("title").clientWidth + 1;
}

/** Make the words as large as the stage lets them be: the title gives way first. */
export function fit() {
  let title = 1;
  let text = 1;
  const set = () => {
    stage.style.setProperty("--title", title);
    stage.style.setProperty("--text", text);
  };
  set();
  while (!fits() && (title > 0.4 || text > 0.6)) {
    if (title > 0.4) title -= 0.05;
    else text -= 0.05;
    set();
  }
}

/** Show one thing: a look, a title, a message, and what else there is to say. */
export function show(look, title, message, more = {}) {
  stage.dataset.look = look;
  stage.dataset.state = more.state ?? "idle";
  $("shape").setAttribute("href", `#${look}`);
  put("title", title);
  put("message", message);
  put("ticket", more.ticket);
  put("holder", more.holder);
  put("again", more.again ? words.again : "");
  $("when").textContent = more.when ?? "";
  put("act", more.act);
  $("act").onclick = more.onAct ?? null;
  burn(more.burnMs);
  fit();
}

/** Show an answer; `zone` is the event's, `now` the gate's time in ms. */
export function showAnswer(answer, zone, now, burnMs, onOverride) {
  const look = lookOf(answer);
  const ticket = answer.ticket;
  const parts = ticket ? [ticket.type_name ?? ticket.type, ticket.seat].filter(Boolean) : [];
  show(look, answer.title, answer.message, {
    state: answer.verdict,
    ticket: parts.join(" · "),
    holder: ticket?.holder,
    again: answer.repeat,
    when: timeText(answer.at, zone, now, true),
    act: canOverride(answer) ? say("override") : "",
    onAct: () => onOverride(answer),
    burnMs,
  });
  strike();
}

/** Show a notice, which is no answer to a ticket; `zone`, `now` and `burnMs` as for an answer. */
export function showNotice(notice, zone, now, burnMs) {
  const when = timeText(notice.at, zone, now, true);
  show(lookOf(notice), notice.title, notice.message, { state: "notice", when, burnMs });
  strike();
}

function strike() {
  $("shape").parentNode.animate([{ transform: "scale(.72)" }, { transform: "scale(1)" }], { duration: 160, easing: "ease-out" });
  stage.animate([{ filter: "brightness(1.7)" }, { filter: "brightness(1)" }], { duration: 260 });
}

function burn(ms) {
  burning?.cancel();
  $("fuse").hidden = !ms;
  burning = ms ? $("fuse").animate([{ transform: "scaleX(1)" }, { transform: "scaleX(0)" }], { duration: ms }) : null;
}

/** Draw a shape. */
export function shapeOf(look) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#${look}`);
  svg.append(use);
  return svg;
}

/** Make an element with a text. */
export function make(tag, text = "", name = "") {
  const node = document.createElement(tag);
  node.textContent = text;
  if (name) node.className = name;
  return node;
}

function pictureButton(answer, onPicture) {
  const button = make("button", "", "pic");
  button.type = "button";
  button.title = words.picture;
  button.setAttribute("aria-label", words.picture);
  button.append(shapeOf("photo"));
  button.onclick = (event) => {
    event.stopPropagation();
    onPicture(answer);
  };
  return button;
}

/** List the newest answers, newest first; a refusal that can be overridden may be touched, and a picture of one seen. */
export function listHistory(answers, zone, now, onOverride, onPicture) {
  $("history").replaceChildren(...answers.map((answer) => {
    const look = lookOf(answer);
    const row = make("li");
    row.dataset.look = look;
    const about = answer.ticket?.seat ?? answer.ticket?.holder ?? answer.ticket?.type_name ?? "";
    const passage = answer.settled ? words[answer.settled] : "";
    const rest = [timeText(answer.at, zone, now, true), passage || about].filter(Boolean).join(" · ");
    row.append(shapeOf(look), make("b", answer.title), make("small", rest));
    if (canOverride(answer)) {
      row.className = "can";
      row.onclick = () => onOverride(answer);
    }
    if (answer.picture) row.append(pictureButton(answer, onPicture));
    return row;
  }));
}

window.addEventListener("resize", fit);
