// Sorting, filtering, enlarging and reading values off curves. The page says the same without any of it.
"use strict";
const find = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const FEW = 24; // cards shown before "show all"
const wanted = { order: "number", filter: "", everything: false, sheet: null };

function arrange() { // the cards, in the wanted order, those that hold the text
  const list = find("#cards");
  if (!list) return;
  const [key, way] = wanted.order.split("-");
  const value = (card) => (key === "prompt" ? card.dataset.prompt.toLowerCase() : card.dataset[key] === "" ? NaN : Number(card.dataset[key]));
  const cards = all(".card", list).sort((one, other) => compare(value(one), value(other), way === "down") || one.dataset.number - other.dataset.number);
  const text = wanted.filter.trim().toLowerCase();
  let kept = 0;
  for (const card of cards) {
    const fits = card.dataset.prompt.toLowerCase().includes(text);
    card.hidden = !fits || (!wanted.everything && kept >= FEW);
    kept += fits;
    list.append(card);
  }
  const shown = wanted.everything ? kept : Math.min(kept, FEW);
  find("#counted").textContent = shown === cards.length ? `${shown} prompts` : `${shown} of ${cards.length} prompts`;
  const more = find(".more");
  more.hidden = kept <= FEW;
  find("#more").textContent = wanted.everything ? `Show the first ${FEW}` : `Show all ${kept}`;
}

function compare(one, other, down) { // missing values last
  const [first, second] = [one, other].map((value) => value === "" || value !== value);
  if (first || second) return first - second;
  const way = one < other ? -1 : one > other ? 1 : 0;
  return down ? -way : way;
}

function sortTable(button) {
  const head = button.closest("th"), body = head.closest("table").tBodies[0];
  const down = head.getAttribute("aria-sort") === "ascending";
  for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const value = (row) => {
    const cell = row.children[head.cellIndex], text = (cell.dataset.value ?? cell.textContent).trim().replace("−", "-");
    return text === "" || text === "–" ? "" : isNaN(text) ? text.toLowerCase() : Number(text);
  };
  for (const row of [...body.rows].sort((one, other) => compare(value(one), value(other), down))) body.append(row);
}

// The enlarged pair.
const zoom = find("#zoom");
let enlarged = null;
function enlarge(card) {
  if (!card) return;
  enlarged = card;
  const copy = card.cloneNode(true), prompt = find(".open", copy), title = document.createElement("p");
  title.className = "open";
  title.append(...prompt.childNodes);
  const sides = find(".sides", copy), frame = document.createElement("div");
  frame.className = find("#cards").classList.contains("wide") ? "wide" : "";
  frame.append(sides);
  find(".zoomed").replaceChildren(title, frame);
  if (!zoom.open) zoom.showModal();
}
function step(by) {
  const cards = all("#cards .card:not([hidden])"), place = cards.findIndex((card) => card === enlarged || card.dataset.number === enlarged.dataset.number);
  enlarge(cards[(place + by + cards.length) % cards.length]);
}

// Values under the pointer, or by the arrow keys.
const places = new WeakMap();
function read(plot, place) {
  const svg = find("svg", plot), chart = JSON.parse(plot.closest(".chart").dataset.chart), output = find("output", plot);
  all(".cross, .at", svg).forEach((old) => old.remove());
  places.set(plot, place);
  if (place === null) return (output.textContent = "");
  const xs = stops(chart), x = xs[Math.max(0, Math.min(place, xs.length - 1))], draw = (kind, facts) => {
    const made = svg.appendChild(document.createElementNS(svg.namespaceURI, kind));
    Object.entries(facts).forEach(([name, value]) => made.setAttribute(name, value));
  };
  const near = chart.series.map((part) => [part.name, part.points.reduce((best, point) => (Math.abs(point[0] - x) < Math.abs(best[0] - x) ? point : best))]);
  const leader = near.map((part) => part[1]).find((point) => point[0] === x) ?? near[0][1];
  draw("path", { class: "cross", d: `M${x} 12V180` });
  near.forEach(([, point]) => draw("circle", { class: "at", r: 3.5, cx: point[0], cy: point[1] }));
  output.textContent = [`${chart.x} ${leader[2]}`, ...near.map(([name, point]) => `${name}: ${point[3]}`)].join("\n");
  const room = plot.clientWidth - output.offsetWidth, left = (x / 360) * plot.clientWidth;
  output.style.left = `${Math.max(0, Math.min(room, left > plot.clientWidth / 2 ? left - output.offsetWidth - 10 : left + 10))}px`;
}
const stops = (chart) => [...new Set(chart.series.flatMap((part) => part.points.map((point) => point[0])))].sort((a, b) => a - b);
function follow(plot, event) {
  const xs = stops(JSON.parse(plot.closest(".chart").dataset.chart)), frame = find("svg", plot).getBoundingClientRect();
  const x = ((event.clientX - frame.left) / frame.width) * 360;
  read(plot, xs.reduce((best, at, place) => (Math.abs(at - x) < Math.abs(xs[best] - x) ? place : best), 0));
}

function showSheet(place) { // of the validation pictures
  const sheets = all(".sheet"), slider = find("#sheet");
  if (!slider) return;
  slider.closest("p").hidden = false;
  const number = Math.max(0, Math.min(place, sheets.length - 1));
  slider.value = number;
  sheets.forEach((sheet, at) => (sheet.hidden = at !== number));
  find(".slide output").textContent = sheets[number].dataset.step;
  slider.setAttribute("aria-valuetext", `step ${sheets[number].dataset.step}`);
}

function settle() { // after the page or a part of it has come
  const toolbar = find(".toolbar");
  if (toolbar) toolbar.hidden = !find("#cards");
  arrange();
  const last = all(".sheet").length - 1;
  if (last >= 0) showSheet(wanted.sheet ?? last);
}

document.addEventListener("click", (event) => {
  const on = (selector) => event.target.closest(selector);
  if (on("th button")) sortTable(on("th button"));
  else if (on("#more")) { wanted.everything = !wanted.everything; arrange(); }
  else if (on("[data-go]")) step(Number(on("[data-go]").dataset.go));
  else if (on("dialog [data-close]") || event.target === zoom) on("dialog").close();
  else if (on("#cards .card")) enlarge(on("#cards .card"));
});
document.addEventListener("input", (event) => {
  if (event.target.id === "order") wanted.order = event.target.value;
  if (event.target.id === "filter") wanted.filter = event.target.value;
  if (event.target.id === "sheet") { wanted.sheet = Number(event.target.value); showSheet(wanted.sheet); }
  else arrange();
});
document.addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("keydown", (event) => {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key], plot = event.target.closest?.(".plot");
  if (zoom.open && by) step(by);
  else if (plot && by) { event.preventDefault(); read(plot, Math.max(0, (places.get(plot) ?? (by > 0 ? -1 : 1e6)) + by)); }
  else if (plot && event.key === "Escape") read(plot, null);
});
document.addEventListener("pointermove", (event) => { const plot = event.target.closest?.(".plot"); if (plot) follow(plot, event); });
document.addEventListener("pointerdown", (event) => { const plot = event.target.closest?.(".plot"); if (plot) follow(plot, event); });
document.addEventListener("pointerout", (event) => { const plot = event.target.closest?.(".plot"); if (plot && !plot.contains(event.relatedTarget)) read(plot, null); });
document.addEventListener("focusout", (event) => { const plot = event.target.closest?.(".plot"); if (plot) read(plot, null); });
settle();
