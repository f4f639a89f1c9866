// What a camera sees: its feed, which sends a picture when the one before has been drawn, and how its codes are shown.

import { keepSocket } from "./link.js";

const SILENCE_MS = 5000; // the gate says every second how the camera fares
const SVG = "http://www.w3.org/2000/svg";

/**
 * Show a camera's pictures from now on, none while nobody can see the page: `on.picture(header, bitmap)` for each,
 * at most one in `everyMs`; `on.state(state)` each second and as it changes, null while the gate is not heard.
 * Returns how to end it.
 */
export function keepPictures(id, width, everyMs, on) {
  const path = `/api/v1/cameras/${encodeURIComponent(id)}/live?width=${width}&every_ms=${everyMs}`;
  let feed = null;
  async function draw(data) {
    const size = new DataView(data).getUint32(0);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, size)));
    const jpeg = new Blob([new Uint8Array(data, 4 + size)], { type: "image/jpeg" });
    const bitmap = await createImageBitmap(jpeg).catch(() => null); // one that is damaged is left out
    if (bitmap && feed) on.picture(header, bitmap);
    bitmap?.close();
  }
  async function take(data) {
    if (typeof data === "string") return on.state(JSON.parse(data));
    await draw(data);
    return feed?.send("next");
  }
  function rest() {
    feed?.end();
    feed = null;
  }
  function look() {
    rest();
    if (document.hidden) return;
    feed = keepSocket(path, SILENCE_MS, { message: take, state: (connected) => { if (!connected) on.state(null); } });
  }
  document.addEventListener("visibilitychange", look);
  look();
  return () => {
    document.removeEventListener("visibilitychange", look);
    rest();
  };
}

/** Draw a picture on a canvas of the same size. */
export function paint(canvas, bitmap) {
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
  }
  canvas.getContext("2d", { alpha: false }).drawImage(bitmap, 0, 0);
}

/** Draw the outlines of codes over a picture. */
export function outline(svg, header) {
  svg.setAttribute("viewBox", `0 0 ${header.width} ${header.height}`);
  svg.replaceChildren(...header.outlines.map((code) => {
    const shape = document.createElementNS(SVG, "polygon");
    shape.setAttribute("points", code.corners.map(([x, y]) => `${x * header.width},${y * header.height}`).join(" "));
    return shape;
  }));
}

const CODES = {
  9: "TAB", 10: "LF", 13: "CR", 27: "ESC", 28: "FS", 29: "GS", 30: "RS", 31: "US", 4: "EOT", 2: "STX", 3: "ETX",
};
const UNSEEN = /[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu;

/** Write what would not show, or would turn its neighbours round, by name: a code may say anything. */
export function visible(text) {
  return text.replace(UNSEEN, (char) => {
    const code = char.codePointAt(0);
    return `<${CODES[code] ?? `U+${code.toString(16).toUpperCase().padStart(4, "0")}`}>`;
  });
}

/** Cut a text that is longer than `most` characters. */
export function shortened(text, most) {
  const chars = Array.from(text);
  return chars.length <= most ? text : `${chars.slice(0, most - 1).join("")}…`;
}

const NAMES = {
  Q: "QR", z: "Aztec", L: "PDF417", d: "Data Matrix", C: "Code 128", A: "Code 39", E: "EAN/UPC", I: "ITF", F: "Codabar",
};

/** Name a symbology by its AIM identifier (ISO/IEC 15424), such as `]Q1`. */
export function symbologyOf(identifier) {
  return NAMES[identifier[1]] ?? identifier;
}
