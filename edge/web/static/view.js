// A lane's cameras beside its verdicts, where the settings ask for that. The words of the stage come first: a picture has
// the room that the shape leaves, and one that has nothing new to show goes.

import { words } from "./camera-words.js";
import { Refused, call } from "./link.js";
import { keepPictures, outline, paint } from "./picture.js";
import { $, fit, make } from "./stage.js";

const WIDTH = 320;
const EVERY_MS = 200;
const AGAIN_MS = 5000;
const LOST_MS = 8000; // so long it is said that a camera is lost; the banners say why, and go on saying it
const STALE_MS = 3000; // an old picture would show somebody who has long gone

let lane = null;
let ends = [];
let asking = 0;
let turns = 0; // which of the lane's answers is waited for: a late one to an earlier question is of no account

function turn(figure, state) {
  if (figure.dataset.state === state) return;
  figure.dataset.state = state;
  figure.hidden = state === "none";
  fit();
}

function makeView() {
  const figure = make("figure");
  figure.dataset.state = "none";
  figure.hidden = true;
  const canvas = make("canvas");
  const outlines = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  outlines.setAttribute("preserveAspectRatio", "none");
  figure.append(canvas, outlines, make("figcaption", words.lostText));
  return figure;
}

/** Keep one camera's picture; returns how to end it. */
function keepView(id) {
  const figure = makeView();
  let leaving = 0;
  let isLost = false;
  const leaveIn = (ms) => {
    clearTimeout(leaving);
    leaving = setTimeout(turn, ms, figure, "none");
  };
  const end = keepPictures(id, WIDTH, EVERY_MS, {
    picture: (header, bitmap) => {
      if (isLost) return; // it was under way when the camera went
      paint(figure.querySelector("canvas"), bitmap);
      outline(figure.querySelector("svg"), header);
      figure.style.setProperty("--ratio", header.width / header.height);
      turn(figure, "live");
      leaveIn(STALE_MS);
    },
    state: (state) => {
      const before = isLost;
      isLost = state?.state === "lost" || state?.state === "stopped";
      if (!isLost || before || figure.dataset.state !== "live") return; // one that is back is said to be lost a little longer
      turn(figure, "lost");
      leaveIn(LOST_MS);
    },
  });
  $("views").append(figure);
  return () => {
    clearTimeout(leaving);
    end();
    figure.remove();
  };
}

async function open() {
  const mine = turns;
  try {
    const { cameras } = await call("GET", "/api/v1/cameras");
    if (turns !== mine) return;
    ends = cameras.filter((each) => each.on_page && each.lane === lane).map((each) => keepView(each.id));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (turns === mine) asking = setTimeout(open, AGAIN_MS);
  }
}

/** Show the cameras of a lane from now on; null: none. */
export function watchLane(id) {
  if (id === lane) return;
  lane = id;
  turns += 1;
  clearTimeout(asking);
  for (const end of ends) end();
  ends = [];
  if (lane !== null) open();
  else fit();
}
