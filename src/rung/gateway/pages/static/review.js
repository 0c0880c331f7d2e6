// One case at a time, by keyboard. The server holds the case for this person; nothing is settled here before it has said so.
const desk = document.getElementById("desk");
const workload = desk.dataset.workload;
const at = (id) => document.getElementById(id);
const base = `/v1/workloads/${encodeURIComponent(workload)}/reviews`;
const REFRESH = 5000; // ms until an empty queue is looked at again
const PATIENCE = 250; // ms that a case is looked at before others like it are looked for
const HOLD = 120000; // ms after which a case that somebody works on is held for longer

let review = null; // the case on the desk
let answer = {}; // what stands in its fields
let current = 0; // the field that keys act on
let past = []; // numbers of cases seen before this one, for going back
let last = null; // the one settled last, for undo
let busy = false;
const IDLE = 30000; // ms without a key or a movement after which nobody is thought to be at work
let touched = 0;
let worked = 0; // ms on this case

// Talking to the server

async function call(path, body, method = "POST") {
  const reply = await fetch(path, {
    method,
    headers: body === undefined ? {} : { "content-type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const said = await reply.json();
  if (!reply.ok) throw new Refused(reply.status, said.error.message, said.error.param ?? "");
  return said;
}

class Refused extends Error {
  constructor(status, message, param) {
    super(message);
    this.status = status;
    this.param = param;
  }
}

async function once(work) {
  if (busy) return;
  busy = true;
  problem("");
  try {
    await work();
  } catch (error) {
    refuse(error);
  } finally {
    busy = false;
  }
}

function refuse(error) {
  if (error instanceof Refused && error.status === 401) location.reload();
  problem(error instanceof Refused ? error.message : "The server cannot be reached: nothing was lost, try again.");
  if (error.param?.startsWith("answer.")) choose(asked().findIndex((field) => `answer.${field.name}` === error.param));
}

// What is done with a case

const next = (wanted) => once(async () => show((await call(`${base}/next`, { wanted: wanted ?? filter() })).review));

const settle = (discard = false) =>
  once(async () => {
    if (!review) return;
    touch();
    const seconds = worked / 1000;
    const said = { answer: given(), note: at("note").value, discard, seconds, next: { wanted: filter() } };
    const reply = await call(`/v1/reviews/${review.id}/settle`, said);
    last = review.id;
    say(discard ? "Discarded." : "Settled.");
    count(-1);
    past.push(review.id);
    show(reply.review);
  });

const skip = () =>
  once(async () => {
    if (!review) return;
    const left = review.id;
    const waiting = (await call(base, undefined, "GET")).reviews.filter((each) => each.id !== left && !past.includes(each.id) && !each.held_by);
    if (!waiting.length) return say("There is no other case.");
    const held = await call(`/v1/reviews/${waiting[0].id}/hold`);
    await call(`/v1/reviews/${left}/release`);
    past.push(left);
    show(held.review);
  });

const back = () =>
  once(async () => {
    const before = past.at(-1);
    if (before === undefined) return say("There is no case before this one.");
    let held;
    try {
      held = await call(`/v1/reviews/${before}/hold`);
    } catch (error) {
      if (error.status === 409) return say("The case before is settled: u takes it back.");
      throw error;
    }
    past.pop();
    if (review) await call(`/v1/reviews/${review.id}/release`);
    show(held.review);
  });

const undo = () =>
  once(async () => {
    if (last === null) return say("There is nothing to take back.");
    const reopened = await call(`/v1/reviews/${last}/reopen`);
    if (review) await call(`/v1/reviews/${review.id}/release`);
    past = past.filter((each) => each !== last);
    last = null;
    count(1);
    say("Taken back.");
    show(reopened.review);
  });

const draft = () =>
  once(async () => {
    if (!review) return;
    await call(`/v1/reviews/${review.id}/draft`, { answer: given() });
    say("Kept as a draft.");
  });

// Showing a case

function show(found) {
  review = found;
  desk.hidden = !found;
  at("nothing").hidden = Boolean(found);
  at("undo").disabled = last === null;
  at("undo-last").hidden = last === null;
  if (!found) {
    setTimeout(() => !review && !busy && !document.hidden && next(), REFRESH);
    return;
  }
  answer = {};
  for (const field of asked()) answer[field.name] = found.draft && field.name in found.draft ? found.draft[field.name] : field.value;
  at("note").value = "";
  at("context").replaceChildren(...Object.entries(found.context).flatMap(([name, value]) => [made("dt", name), made("dd", spelled(value))]));
  at("why").replaceChildren(...found.attempts.map(attempt));
  at("similar-part").hidden = true;
  at("fields").replaceChildren(...found.fields.map(widget));
  choose(doubtful(), false);
  scrollTo(0, 0);
  touched = performance.now();
  worked = 0;
  setTimeout(() => review?.id === found.id && liken(found.id), PATIENCE);
}

async function liken(number) {
  try {
    const { similar } = await call(`/v1/reviews/${number}/similar`, undefined, "GET");
    if (review?.id !== number || !similar.length) return;
    at("similar").replaceChildren(
      ...similar.map((each) => {
        const item = made("li", "");
        item.append(made("p", each.text.length > 240 ? `${each.text.slice(0, 240)}…` : each.text));
        for (const field of asked().filter((one) => one.fill === "label")) item.append(made("span", spelled(each.answer[field.name]), "badge"), " ");
        item.append(made("span", `${each.by}, ${Math.round(100 * each.likeness)} % alike`, "soft"));
        return item;
      }),
    );
    at("similar-part").hidden = false;
  } catch {
    // the case can be settled without
  }
}

function attempt(tried) {
  const item = made("li", "");
  item.append(made("strong", tried.tier), ` ${tried.error ? "had no answer" : `${percent(tried.confidence)} sure`}`);
  for (const each of tried.problems) item.append(made("p", `${each.check}: ${each.message}`, "wrong"));
  if (tried.error) item.append(made("p", tried.error, "wrong"));
  return item;
}

function mark() {
  // Code points, as the server counts.
  const points = Array.from(review.text);
  const spans = review.fields
    .flatMap((field, index) => field.spans.map((span) => ({ ...span, name: field.name, on: index === current })))
    .sort((one, two) => one.start - two.start || two.on - one.on);
  const parts = [];
  let reached = 0;
  for (const span of spans) {
    if (span.start < reached) continue;
    parts.push(points.slice(reached, span.start).join(""));
    const part = made("mark", points.slice(span.start, span.end).join(""), span.on ? "on" : "");
    part.title = span.name;
    parts.push(part);
    reached = span.end;
  }
  at("text").replaceChildren(...parts, points.slice(reached).join(""));
}

// Fields

const asked = () => review.fields.filter((field) => field.fill !== "template");

function widget(field) {
  const box = made("div", "", "field");
  box.dataset.name = field.name;
  const head = made("div", "", "head");
  const name = made("span", field.name, "name");
  name.id = `name-${field.name}`;
  head.append(name);
  if (field.confidence !== null) head.append(made("span", `${percent(field.confidence)} sure`, "soft"));
  box.append(head);
  if (field.fill === "template") {
    box.append(made("p", spelled(field.value) || "written when settled", "template"));
    return box;
  }
  box.append(field.fill === "label" ? labels(field) : typed(field));
  box.addEventListener("focusin", () => choose(asked().indexOf(field), false));
  return box;
}

function labels(field) {
  const group = made("div", "", "labels");
  group.setAttribute("role", "radiogroup");
  group.setAttribute("aria-labelledby", `name-${field.name}`);
  field.labels.forEach((label, index) => {
    const button = made("button", "", "label");
    button.type = "button";
    button.setAttribute("role", "radio");
    button.append(made("span", spelled(label)));
    if (index < 9) button.append(" ", made("kbd", String(index + 1)));
    button.addEventListener("click", () => pick(field, label));
    group.append(button);
  });
  if (field.labels.length <= 12) return group;
  const box = made("div", "");
  const find = made("input", "");
  find.setAttribute("aria-label", `Find a label of ${field.name}`);
  find.placeholder = "find a label";
  find.addEventListener("input", () => {
    for (const button of group.children) button.hidden = !button.firstChild.textContent.toLowerCase().includes(find.value.toLowerCase());
  });
  find.addEventListener("keydown", (event) => {
    const first = [...group.children].find((button) => !button.hidden);
    if (event.key !== "Enter" || !find.value || !first) return;
    event.preventDefault();
    event.stopPropagation();
    first.click();
    find.value = "";
    find.dispatchEvent(new Event("input"));
    find.blur();
  });
  box.append(find, group);
  return box;
}

function typed(field) {
  const many = field.types.includes("array") || field.types.includes("object");
  const input = made(many ? "textarea" : "input", "");
  input.setAttribute("aria-labelledby", `name-${field.name}`);
  input.placeholder = "nothing in the text";
  if (many) input.rows = 6;
  const value = answer[field.name];
  input.value = value === null || value === undefined ? "" : many ? JSON.stringify(value, null, 1) : spelled(value);
  input.addEventListener("input", () => (answer[field.name] = read(field, input.value)));
  return input;
}

function read(field, text) {
  const said = text.trim();
  if (!said && field.types.includes("null")) return null;
  if (field.types.includes("array") || field.types.includes("object")) {
    try {
      return JSON.parse(said);
    } catch {
      return said;
    }
  }
  const number = field.types.includes("number") || field.types.includes("integer");
  return number && said && !Number.isNaN(Number(said)) ? Number(said) : said;
}

function pick(field, label) {
  answer[field.name] = label;
  const written = at("fields").querySelectorAll(".template");
  for (const each of written) each.textContent = "written anew when settled";
  paint();
}

function choose(index, scroll = true) {
  const fields = asked();
  if (!fields.length) return;
  current = review.fields.indexOf(fields[Math.max(0, Math.min(index, fields.length - 1))]);
  paint();
  mark();
  if (scroll) at("fields").children[current].scrollIntoView({ block: "nearest" });
}

// The field to look at first: the least sure one.
function doubtful() {
  const sure = asked().map((field) => field.confidence ?? 1);
  return sure.indexOf(Math.min(...sure));
}

function paint() {
  review.fields.forEach((field, index) => {
    const box = at("fields").children[index];
    box.classList.toggle("on", index === current);
    if (field.fill !== "label") return;
    box.querySelectorAll("[role=radio]").forEach((button, place) => {
      const on = same(field.labels[place], answer[field.name]);
      button.setAttribute("aria-checked", String(on));
    });
  });
}

function given() {
  return Object.fromEntries(asked().map((field) => [field.name, answer[field.name] ?? null]));
}

// Keys

function press(event) {
  const { key } = event;
  const typing = event.target instanceof HTMLElement && event.target.matches("input:not([type=checkbox]), textarea, select");
  const command = event.ctrlKey || event.metaKey;
  if (at("help").open || event.altKey) return;
  if (command && key.toLowerCase() === "s") {
    event.preventDefault();
    draft();
  } else if (command) {
    return;
  } else if (typing && key === "Escape") {
    event.target.blur();
  } else if (key === "Enter" && at("answer").contains(event.target) && !event.target.matches("textarea, button:not(.label)")) {
    event.preventDefault();
    settle();
  } else if (!typing) {
    quick(event, key);
  }
}

function quick(event, key) {
  const act = { Backspace: () => settle(true), u: undo, ArrowRight: skip, ArrowLeft: back, "?": help, g: guide, e: edit };
  const step = { ArrowDown: 1, ArrowUp: -1 }[key];
  const field = review?.fields[current];
  if (key === "Enter" && event.target.matches("button, a, summary")) return; // theirs
  if (key === "Enter") act.Enter = settle.bind(null, false);
  if (key in act) {
    event.preventDefault();
    act[key]();
  } else if (review && step) {
    event.preventDefault();
    choose(asked().indexOf(field) + step);
  } else if (field?.fill === "label" && key >= "1" && key <= "9" && Number(key) <= field.labels.length) {
    event.preventDefault();
    pick(field, field.labels[Number(key) - 1]);
  }
}

function edit() {
  at("fields").children[current]?.querySelector("input, textarea")?.focus();
}

function help() {
  at("help").showModal();
}

function guide() {
  const pane = at("guide");
  if (pane) pane.open = !pane.open;
}

// Marked text becomes a value

async function take() {
  const marked = getSelection();
  const text = marked?.toString().trim();
  if (!text || !review || !at("text").contains(marked.anchorNode)) return;
  const copied = asked().filter((one) => one.fill === "copy" && !one.types.includes("array") && !one.types.includes("object"));
  const field = copied.includes(review.fields[current]) ? review.fields[current] : copied.length === 1 ? copied[0] : null;
  if (!field) return say("Choose the field first that the marked words are for.");
  const { value } = await call(`${base}/value`, { field: field.name, text });
  answer[field.name] = value;
  const box = at("fields").children[review.fields.indexOf(field)];
  box.querySelector("input").value = spelled(value);
  const points = Array.from(review.text);
  const before = document.createRange();
  before.setStart(at("text"), 0);
  before.setEnd(marked.getRangeAt(0).startContainer, marked.getRangeAt(0).startOffset);
  const start = Array.from(before.toString()).length;
  field.spans = [{ start, end: Math.min(start + Array.from(marked.toString()).length, points.length), path: [] }];
  choose(asked().indexOf(field));
}

// Small things

function made(kind, text, style) {
  const element = document.createElement(kind);
  element.textContent = text;
  if (style) element.className = style;
  return element;
}

const same = (one, two) => JSON.stringify(one) === JSON.stringify(two);
const spelled = (value) => (value === null || value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value));
const percent = (share) => (share > 0.999 ? "> 99.9 %" : `${(100 * share).toFixed(share > 0.995 || share < 0.1 ? 1 : 0)} %`);
const say = (text) => (at("said").textContent = text);
const problem = (text) => (at("problem").textContent = text);

function count(change) {
  const number = at("waiting").firstElementChild;
  number.textContent = String(Math.max(0, Number(number.textContent.replaceAll(",", "")) + change)).replace(/\B(?=(\d{3})+$)/g, ",");
}

function filter() {
  const form = at("wanted");
  const chosen = [...form.querySelectorAll("[data-field]")].find((each) => each.value);
  return {
    words: form.elements.words.value,
    field: chosen?.dataset.field ?? "",
    value: chosen?.value ?? "",
    tier: form.elements.tier.value,
    objected: form.elements.objected.checked,
  };
}

// Held down, or pressed before the next case is there, a key would decide one that nobody has seen.
const FINAL = ["Enter", "Backspace", "u"];

function touch() {
  const now = performance.now();
  worked += Math.min(now - touched, IDLE);
  touched = now;
}

for (const kind of ["pointermove", "pointerdown", "scroll"]) document.addEventListener(kind, touch, { passive: true });
document.addEventListener("keydown", (event) => {
  touch();
  const typing = event.target instanceof HTMLElement && event.target.matches("input:not([type=checkbox]), textarea, select");
  const final = FINAL.includes(event.key) && !(typing && event.key !== "Enter");
  if (busy ? final || !typing : final && event.repeat) return event.preventDefault();
  if (!busy) press(event);
});
at("answer").addEventListener("submit", (event) => {
  event.preventDefault();
  settle();
});
at("wanted").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (review) await call(`/v1/reviews/${review.id}/release`);
  next();
});
at("text").addEventListener("mouseup", () => take().catch(refuse));
at("skip").addEventListener("click", skip);
at("draft").addEventListener("click", draft);
at("discard").addEventListener("click", () => settle(true));
at("undo").addEventListener("click", undo);
at("undo-last").addEventListener("click", undo);
at("help-button").addEventListener("click", help);
document.addEventListener("visibilitychange", () => !document.hidden && !review && next());
addEventListener("pagehide", () => review && fetch(`/v1/reviews/${review.id}/release`, { method: "POST", keepalive: true }));
setInterval(() => {
  if (review && performance.now() - touched < HOLD) call(`/v1/reviews/${review.id}/hold`).catch(refuse);
}, HOLD);

const named = Number(new URLSearchParams(location.search).get("review"));
if (named) once(async () => show((await call(`/v1/reviews/${named}/hold`)).review)).then(() => review || next());
else next();
