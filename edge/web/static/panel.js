// The one panel: who is on shift, a supervisor's admission, and what a camera saw of a refused code. It works by touch,
// keyboard and badge alone.

import { Refused, call } from "./link.js";
import { $, make } from "./stage.js";
import { say, words } from "./words.js";

const IDLE_MS = 45000; // a panel that was left open would take tickets for badges
const panel = $("panel");
let idle = 0;

function touch() {
  clearTimeout(idle);
  idle = setTimeout(close, IDLE_MS);
}

/** Close the panel. */
export function close() {
  clearTimeout(idle);
  if (panel.open) panel.close();
}

function open(title, hint, ...nodes) {
  $("panel-title").textContent = title;
  $("panel-hint").textContent = hint;
  $("panel-error").hidden = true;
  $("panel-body").replaceChildren(...nodes);
  if (!panel.open) {
    $("meanwhile").hidden = $("stage").dataset.state !== "held-open"; // an emergency is said above any panel
    panel.showModal();
  }
  panel.querySelector("input")?.focus();
  touch();
}

function complain(error) {
  if (!(error instanceof Refused)) throw error;
  $("panel-error").textContent = error.status === 0 ? words.noAnswer : error.message;
  $("panel-error").hidden = false;
}

function button(text, onClick, name = "") {
  const node = make("button", text, name);
  node.type = "button";
  node.onclick = onClick;
  return node;
}

function field(placeholder, onEnter, type = "text") {
  const input = make("input");
  input.type = type;
  input.placeholder = placeholder;
  input.autocomplete = "off";
  input.maxLength = 500;
  input.onkeydown = (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    const value = input.value.trim();
    input.value = "";
    if (value) onEnter(value);
  };
  return input;
}

/** Ask who someone is; `onWho` gets a badge, or a controller and PIN, and may throw `Refused`. */
function askWho(title, people, onWho, ...after) {
  const attempt = async (who) => {
    try {
      await onWho(who);
    } catch (error) {
      complain(error);
    }
  };
  const badge = field(words.badge, (value) => attempt({ badge: value }), "password");
  badge.id = "badge";
  const list = make("div", "", "choices");
  for (const person of people) {
    const choice = button(person.name, () => askPin(person, attempt, () => askWho(title, people, onWho, ...after)));
    if (person.supervisor) choice.append(make("small", words.supervisor));
    list.append(choice);
  }
  if (!people.length) list.append(make("p", words.nobody));
  open(title, words.whoHint, badge, list, ...after);
}

function askPin(person, attempt, onBack) {
  const send = (pin) => attempt({ controller: person.id, pin });
  const input = field("••••", send, "password");
  input.id = "pin";
  input.inputMode = "none";
  const keys = make("div", "", "keys");
  for (const digit of "123456789") keys.append(button(digit, () => { input.value += digit; }));
  const enter = () => { const pin = input.value; input.value = ""; if (pin) send(pin); };
  keys.append(
    button("⌫", () => { input.value = input.value.slice(0, -1); }),
    button("0", () => { input.value += "0"; }),
    button("✓", enter, "main"),
  );
  const left = make("div");
  left.append(input, button(words.back, onBack, "wide"));
  const both = make("div", "", "pin");
  both.append(left, keys);
  open(say("pin", person.name), words.pinHint, both);
}

/** Sign in or out at a lane. */
export async function signIn(lane, onShift) {
  try {
    const { controllers } = await call("GET", "/api/v1/controllers");
    const out = onShift.map((person) => button(say("signOut", person.name), async () => {
      try {
        await call("DELETE", `/api/v1/shift?lane=${encodeURIComponent(lane)}`);
        close();
      } catch (error) {
        complain(error);
      }
    }, "wide"));
    askWho(words.who, controllers, async (who) => {
      await call("POST", "/api/v1/shift", { ...who, lane });
      close();
    }, ...out);
  } catch (error) {
    open(words.who, "");
    complain(error);
  }
}

/** Admit after a refusal: why, and by whose word unless a supervisor is on shift. */
export function override(answer, onAnswer) {
  const path = `/api/v1/scans/${encodeURIComponent(answer.scan_id)}/override`;
  const admit = async (reason, who) => {
    onAnswer(await call("POST", path, { reason, ...who }));
    close();
  };
  const decide = async (reason) => {
    try {
      await admit(reason, {});
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 403) { complain(error); return; }
      try {
        const { controllers } = await call("GET", "/api/v1/controllers");
        askWho(words.whoAdmits, controllers.filter((each) => each.supervisor), (who) => admit(reason, who));
      } catch (failure) {
        complain(failure);
      }
    }
  };
  const list = make("div", "", "choices");
  for (const reason of words.reasons) list.append(button(reason, () => decide(reason)));
  const other = field(words.why, decide);
  other.id = "why";
  const next = button(words.next, () => { if (other.value.trim()) decide(other.value.trim()); }, "wide main");
  const about = [answer.title, answer.ticket?.seat, answer.ticket?.holder].filter(Boolean).join(" · ");
  open(words.whyTitle, `${about}. ${words.whyHint}`, list, other, next);
}

/** Show the picture in which a refused code was seen. */
export function showPicture(answer) {
  const picture = make("img", "", "picture");
  picture.alt = words.picture;
  picture.onerror = () => picture.replaceWith(make("p", words.pictureGone));
  picture.src = `/api/v1/scans/${encodeURIComponent(answer.scan_id)}/picture`;
  open(answer.title, answer.message, picture);
}

panel.addEventListener("pointerdown", touch);
panel.addEventListener("keydown", (event) => {
  touch();
  if (panel.querySelector("input") || event.key.length > 1 || event.ctrlKey || event.altKey || event.metaKey) return;
  close(); // nothing here takes text: it is a ticket that is scanned into the page
  $("code").focus();
});
panel.addEventListener("close", () => clearTimeout(idle));
$("panel-close").onclick = close;
