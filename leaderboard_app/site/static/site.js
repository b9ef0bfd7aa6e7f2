"use strict";
/* What the pages do beyond being read: charts, tables that sort and filter, and addresses that keep what was chosen. */

const dark = matchMedia("(prefers-color-scheme: dark)");
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const embedded = id => JSON.parse(document.getElementById(id)?.textContent ?? "null");

// The address ---------------------------------------------------------------------------------------------------------

const query = () => new URLSearchParams(location.search);

/** Put values into the address, so that it shows the same view to somebody else. */
function remember(name, values) {
  const now = query();
  now.delete(name);
  for (const value of values) if (value) now.append(name, value);
  const text = now.toString();
  history.replaceState(null, "", location.pathname + (text && `?${text}`) + location.hash);
}

// Charts --------------------------------------------------------------------------------------------------------------

/** Vega's colours for the page's theme. */
function theme(isDark) {
  const [text, quiet, line] = isDark ? ["#e7eaef", "#a0a9b8", "#343c49"] : ["#1a1f27", "#596273", "#dde1e8"];
  const axis = { labelColor: quiet, titleColor: text, gridColor: line, domainColor: line, tickColor: line,
                 labelFontSize: 12, titleFontSize: 12, titleFontWeight: 400 };
  return { background: null, axis, legend: { labelColor: text, titleColor: text, labelFontSize: 12 },
           title: { color: text }, style: { cell: { stroke: "transparent" } } };
}

/** Draw a Vega specification into an element. */
function drawn(spec, place, renderer = "svg") {
  const view = new vega.View(vega.parse(spec, theme(dark.matches)), { renderer, container: place, hover: true });
  return view.tooltip(tip).runAsync();
}

async function draw(figure, spec) {
  const place = figure.querySelector(".drawing");
  const view = await drawn(spec, place);
  const models = embedded("models") ?? {};
  view.addEventListener("click", (_, item) => {
    const path = models[item?.datum?.model];
    if (path) location.href = document.body.dataset.root + path;
  });
  dark.addEventListener("change", async () => { view.finalize(); await drawn(spec, place); });
  figure.querySelector(".save")?.removeAttribute("hidden");
  for (const button of all("[data-save]", figure)) button.onclick = () => save(spec, place, button.dataset.save);
}

/** Save a chart as a picture on white, as a paper shows it. */
async function save(spec, place, kind) {
  const box = document.createElement("div");
  box.style = `position: absolute; visibility: hidden; width: ${place.clientWidth}px`;
  document.body.append(box);
  const paper = { ...theme(false), background: "white" };
  const view = await new vega.View(vega.parse(spec, paper), { renderer: "none", container: box }).runAsync();
  const link = document.createElement("a");
  link.href = await view.toImageURL(kind, 3);
  link.download = `${document.title.split(" · ")[0].replace(/[^\w.]+/g, "-")}.${kind}`;
  link.click();
  box.remove();
}

/** Show what a mark says: text only, whatever names it holds. */
function tip(_, event, item, value) {
  document.getElementById("tip")?.remove();
  if (value == null || value === "") return;
  const box = document.createElement("div");
  box.id = "tip";
  const rows = typeof value === "object" ? Object.entries(value) : [["", value]];
  const table = box.appendChild(document.createElement("table"));
  for (const [name, text] of rows) {
    const row = table.insertRow();
    row.appendChild(document.createElement("th")).textContent = name;
    row.insertCell().textContent = text;
  }
  document.body.append(box);
  box.style.left = `${Math.min(event.clientX + 12, innerWidth - box.offsetWidth - 8)}px`;
  box.style.top = `${Math.max(8, event.clientY - box.offsetHeight - 8)}px`;
}

/** Draw each chart when it comes into view, so that the words are on screen first. What is folded is not in view. */
function charts() {
  const watch = new IntersectionObserver(seen => {
    for (const { target } of seen.filter(each => each.isIntersecting)) {
      watch.unobserve(target);
      chart(target);
    }
  }, { rootMargin: "300px" });
  all("figure[data-chart]").forEach(figure => watch.observe(figure));
}

async function chart(figure) {
  try {
    const spec = await (await fetch(figure.dataset.chart)).json();
    const points = figure.querySelector(".points");
    if (points) spec.data.find(each => each.name === "points").values = JSON.parse(points.textContent);
    await draw(figure, spec);
  } catch (error) {
    const where = location.protocol === "file:" ? " Charts need a web server, such as python -m http.server." : "";
    figure.querySelector(".drawing").textContent = `This chart could not be drawn.${where}`;
    if (!where) throw error;
  }
}

// Tables --------------------------------------------------------------------------------------------------------------

const UNITS = { s: 1, ms: 1e-3, "µs": 1e-6, min: 60, h: 3600, d: 86400, B: 1, kB: 1e3, MB: 1e6, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

/** The number that a cell begins with, in its unit; null if it begins with none. */
function number(text) {
  const [, digits, unit] = text.replace("−", "-").match(/^\+?(-?[\d,]*\.?\d+(?:e[-+]?\d+)?)\s*([a-zµA-Z]+)?/) ?? [];
  return digits === undefined ? null : parseFloat(digits.replaceAll(",", "")) * (UNITS[unit] ?? 1);
}

/** Sort a table by a column: numbers from the largest, names from A. What is empty comes last. */
function sort(table, head, falling) {
  const place = head.cellIndex, body = table.tBodies[0];
  const key = row => row.cells[place].textContent.trim();
  const rows = [...body.rows].map(row => [key(row), number(key(row)), row]);
  const direction = falling ? -1 : 1;
  const empty = text => text === "" || text === "–";
  rows.sort(([a, x], [b, y]) =>
    empty(a) - empty(b) || direction * (x !== null && y !== null ? x - y : a.localeCompare(b, "en", { numeric: true })));
  body.append(...rows.map(([, , row]) => row));
  for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
  head.ariaSort = falling ? "descending" : "ascending";
}

function sortable(table) {
  for (const head of table.tHead.rows[0].cells) {
    const button = head.querySelector("button");
    if (button) button.onclick = () => {
      const first = head.classList.contains("number") ? "descending" : "ascending";
      const falling = head.ariaSort ? head.ariaSort === "ascending" : first === "descending";
      sort(table, head, falling);
      remember("order", [`${falling ? "-" : ""}${button.textContent}`]);
    };
  }
  const asked = query().get("order"), name = asked?.replace(/^-/, "");
  const head = [...table.tHead.rows[0].cells].find(each => each.querySelector("button")?.textContent === name);
  if (asked && head) sort(table, head, asked.startsWith("-"));
}

const ticked = (form, name) => all(`[name=${name}]:checked`, form).map(box => box.value);

/** Show the rows that have all words of a search and are of a ticked family; of any if none is ticked. */
function filter(form) {
  const words = form.q.value.toLowerCase().split(/\s+/), families = ticked(form, "family");
  const rows = all("tbody tr[data-words]");
  for (const row of rows)
    row.hidden = !(words.every(word => row.dataset.words.includes(word)) && (!families.length || families.includes(row.dataset.group)));
  const entries = rows.filter(row => !row.closest(".heat")), shown = entries.filter(row => !row.hidden).length;
  document.getElementById("shown").textContent =
    shown < entries.length ? `${shown} of ${entries.length} entries are shown; ranks are among all entries.` : "";
}

/** Show the columns that are ticked. */
function columns(form) {
  const chosen = ticked(form, "columns");
  for (const head of all("th[data-extra]")) {
    const hidden = !chosen.includes(head.dataset.column);
    for (const row of head.closest("table").rows) row.cells[head.cellIndex].hidden = hidden;
  }
}

function tools(form) {
  const asked = query();
  form.q.value = asked.get("q") ?? "";
  for (const box of all("[type=checkbox]", form)) box.checked = asked.getAll(box.name).includes(box.value);
  form.addEventListener("input", () => {
    filter(form);
    columns(form);
    remember("q", [form.q.value]);
    remember("family", ticked(form, "family"));
    remember("columns", ticked(form, "columns"));
  });
  filter(form);
  columns(form);
}

/** Sort the map as its form says. */
function mapOrder(form) {
  const body = document.querySelector(".heat tbody"), asked = query().get("map");
  const sorted = order => body.append(...[...body.rows].sort((a, b) => a.dataset[order] - b.dataset[order]));
  form.addEventListener("input", () => {
    sorted(form.map.value);
    remember("map", [form.map.value]);
  });
  if (!all("input", form).some(each => each.value === asked)) return;
  form.map.value = asked;
  sorted(asked);
}

/** Lead to the comparison of the ticked rows. */
function ticks(link) {
  const update = () => {
    const entries = all("td.tick input:checked").map(box => box.value);
    const ready = entries.length > 1 && entries.length < 5;
    const target = new URLSearchParams([["suite", link.dataset.suite], ...entries.map(entry => ["entries", entry])]);
    link.ariaDisabled = String(!ready);
    link.textContent = entries.length > 4 ? "Tick four rows at most" : "Compare ticked rows";
    if (ready) link.href = `${link.dataset.href}?${target}`;
    else link.removeAttribute("href");
  };
  for (const box of all("td.tick input")) box.addEventListener("change", update);
  update();
}

/** Show only the rows of the task that the address names. */
function ofTask(table) {
  const task = query().get("task"), rows = all("tbody tr[data-group]", table);
  if (!task || !rows.length) return;
  for (const row of rows) row.hidden = row.dataset.group !== task;
  const note = Object.assign(document.createElement("p"), { className: "hint", textContent: `Only runs of ${task}. ` });
  note.append(Object.assign(document.createElement("a"), { href: location.pathname, textContent: "Show all" }));
  table.closest(".grid").before(note);
}

// Start ---------------------------------------------------------------------------------------------------------------

function start() {
  all("table.sortable").forEach(sortable);
  if (document.querySelector("form[role=search]")) all("form[role=search]").forEach(tools);
  else all("table.sortable").forEach(ofTask);
  all("#map-order").forEach(mapOrder);
  all("#compare").forEach(ticks);
  document.addEventListener("click", event => {
    for (const menu of all("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  });
  document.addEventListener("keydown", event => {
    if (event.key === "Escape") for (const menu of all("details.menu[open]")) menu.open = false;
  });
}

start();
addEventListener("DOMContentLoaded", () => charts());
