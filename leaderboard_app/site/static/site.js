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

/** Say which of the names that the address gives do not exist, above all else on the page. */
function complain(what, given, legal) {
  for (const name of given.filter(each => !legal.includes(each))) {
    const note = Object.assign(document.createElement("p"), { className: "note wrong", role: "alert" });
    note.textContent = `No ${what} named '${name}'. There are: ${legal.join(", ")}.`;
    document.querySelector("h1").after(note);
  }
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

const named = head => head.textContent.trim();

/** Sort the tables as the address asks. sorting.js sorts one by a click on a head. */
function sorted(tables) {
  const asked = query().get("order"), name = asked?.replace(/^-/, "");
  if (!asked || !tables.length) return;
  const heads = tables.flatMap(table => all("thead th:has(button)", table));
  for (const head of heads.filter(each => named(each) === name)) sort(head.closest("table"), head, asked.startsWith("-"));
  complain("column", [name], heads.map(named));
}

const values = (form, name) => all(`[name=${name}]`, form).map(box => box.value);
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
  complain("family", asked.getAll("family"), values(form, "family"));
  complain("column", asked.getAll("columns"), values(form, "columns"));
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
  complain("task", [task], [...new Set(rows.map(row => row.dataset.group))]);
  for (const row of rows) row.hidden = row.dataset.group !== task;
  const note = Object.assign(document.createElement("p"), { className: "hint", textContent: `Only runs of ${task}. ` });
  note.append(Object.assign(document.createElement("a"), { href: location.pathname, textContent: "Show all" }));
  table.closest(".grid").before(note);
}

/** Open the details that the address leads to. */
function reveal() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)))?.closest("details");
  if (!target) return;
  target.open = true;
  target.scrollIntoView();
}

// Start ---------------------------------------------------------------------------------------------------------------

function start() {
  sorted(all("table.sortable"));
  document.addEventListener("sorted", event =>
    remember("order", [`${event.detail.falling ? "-" : ""}${named(event.target)}`]));
  if (document.querySelector("form[role=search]")) all("form[role=search]").forEach(tools);
  else all("table.sortable").forEach(ofTask);
  all("#map-order").forEach(mapOrder);
  all("#compare").forEach(ticks);
  reveal();
  addEventListener("hashchange", reveal);
  document.addEventListener("click", event => {
    for (const menu of all("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  });
  document.addEventListener("keydown", event => {
    if (event.key === "Escape") for (const menu of all("details.menu[open]")) menu.open = false;
  });
}

start();
addEventListener("DOMContentLoaded", () => charts());
