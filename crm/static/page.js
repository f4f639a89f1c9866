"use strict";
// The organiser's page: asks for the figures every two seconds and writes them as text, never as markup.

const EVERY_MS = 2000;
const SILENT_S = 120;
const time = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat([], { day: "2-digit", month: "short" });

const at = (id) => document.getElementById(id);

function make(tag, text, cls) {
  const node = document.createElement(tag);
  if (text !== null && text !== undefined) node.textContent = text;
  if (cls) node.className = cls;
  return node;
}

function when(text, now) {
  const instant = new Date(text);
  const today = instant.toDateString() === now.toDateString();
  return today ? time.format(instant) : `${day.format(instant)} ${time.format(instant)}`;
}

function fill(id, rows, nothing) {
  const body = at(id).tBodies[0];
  if (!rows.length) {
    const cell = make("td", nothing, "none");
    cell.colSpan = at(id).tHead.rows[0].cells.length;
    const row = make("tr");
    row.append(cell);
    rows = [row];
  }
  body.replaceChildren(...rows);
}

function row(cells) {
  const node = make("tr");
  node.append(...cells.map(([text, cls]) => (text instanceof Node ? text : make("td", text, cls))));
  return node;
}

function checkpoint(each) {
  const inside = make("td", each.inside, "n");
  if (each.capacity !== null) {
    const full = each.zone_inside >= each.capacity;
    inside.append(make("small", `${each.zone ?? "zone"} ${each.zone_inside} / ${each.capacity}`, full ? "full" : ""));
  }
  const name = make("td", each.name);
  name.append(" ", make("small", each.event));
  return row([
    [name], [each.entries, "n"], [each.exits, "n"],
    [inside], [each.refused, "n"],
  ]);
}

function device(each, now) {
  const silent_s = each.last_seen ? (now - new Date(each.last_seen)) / 1000 : Infinity;
  let state = ["well", "well"];
  if (each.revoked_at) state = ["revoked", "soft"];
  else if (each.last_fault) state = [each.last_fault, "ill"];
  else if (!each.last_seen) state = ["not heard of yet", "soft"];
  else if (silent_s > SILENT_S) state = ["silent", "ill"];
  const name = make("td", each.name);
  name.append(" ", make("small", each.id));
  return row([
    [name], [each.last_seen ? when(each.last_seen, now) : "never"],
    [each.backlog ?? "–", each.backlog ? "n ill" : "n"], [each.last_seq, "n"], state,
  ]);
}

function scan(each, now) {
  return row([
    [when(each.at, now)], [each.verdict, each.verdict], [each.reason === each.verdict ? "" : each.reason.replaceAll("_", " ")],
    [each.checkpoint_name ?? each.checkpoint ?? "–"], [`${each.device_name} · ${each.lane}`],
    [each.ticket_id ?? "–"], [each.note],
  ]);
}

function conflict(each, now) {
  const places = each.scans.map((one) => `${when(one.at, now)} at ${one.checkpoint_name ?? "no checkpoint"} (${one.device_name})`);
  const text = `Ticket ${each.ticket_id}: admitted ${each.scans.length} times – ${places.join(", ")}`;
  return make("li", each.withdrawn_at ? `${text} – withdrawn` : text, each.withdrawn_at ? "withdrawn" : "");
}

function show(report) {
  const now = new Date(report.at);
  at("organiser").textContent = report.organiser;
  at("state").textContent = `${report.tickets.toLocaleString()} tickets · ${time.format(now)}`;
  const standing = report.conflicts.filter((each) => !each.withdrawn_at).length;
  const box = at("conflicts");
  box.hidden = !report.conflicts.length;
  box.classList.toggle("standing", standing > 0);
  box.querySelector("h2").textContent = standing
    ? `${standing} ${standing === 1 ? "conflict" : "conflicts"}: admitted more often than the ticket allows`
    : "Conflicts withdrawn";
  box.querySelector("ul").replaceChildren(...report.conflicts.map((each) => conflict(each, now)));
  document.title = standing ? `(${standing}!) Brama central` : "Brama central";
  fill("checkpoints", report.checkpoints.map(checkpoint), "No checkpoint yet: brama crm checkpoint add");
  fill("devices", report.devices.map((each) => device(each, now)), "No device yet: brama crm device code");
  fill("scans", report.scans.map((each) => scan(each, now)), "No scan yet");
}

async function refresh() {
  try {
    const answer = await fetch(`api/report${location.search}`, { signal: AbortSignal.timeout(10000) });
    const report = await answer.json();
    if (!answer.ok) throw new Error(report.error.message);
    show(report);
    document.body.classList.remove("stale");
  } catch (error) {
    document.body.classList.add("stale");
    at("state").textContent = `Not up to date: ${error.message}`;
  }
  setTimeout(refresh, EVERY_MS);
}

refresh();
