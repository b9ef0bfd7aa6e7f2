"use strict";
/* Puts the entries side by side that the address names. The numbers and sentences are in a file for each entry. */

(() => {
  const suites = embedded("suites"), LOOKS = embedded("looks"), MOST = LOOKS.length;
  const form = document.getElementById("choice"), byId = id => document.getElementById(id);
  const url = path => document.body.dataset.root + path;
  const load = async path => (await fetch(url(path))).json();

  /** The entries that the address names, as the suite's file lists them. */
  function chosen() {
    const suite = suites[query().get("suite")] ?? Object.values(suites)[0];
    const known = new Map(suite?.entries.map(entry => [entry.id, entry]));
    return query().getAll("entries").map(id => known.get(id)).filter(Boolean).slice(0, MOST);
  }

  /** Each entry's architecture, followed by what differs among them. */
  function names(entries) {
    const told = entries[0].names.map((_, place) => place === 0 || new Set(entries.map(each => each.names[place])).size > 1);
    return entries.map(entry => entry.names.filter((name, place) => told[place] && name).join(" · "));
  }

  function element(tag, text = "", more = {}) {
    return Object.assign(document.createElement(tag), { textContent: text, ...more });
  }

  /** Fill a table: rows of text or of elements, the first of them the headings. */
  function fill(id, rows) {
    const table = byId(id);
    table.tHead?.remove();
    all("tbody", table).forEach(body => body.remove());
    const head = table.createTHead().insertRow(), body = table.createTBody();
    for (const text of rows[0]) {
      const cell = element("th", "", { scope: "col" });
      cell.append(element("button", text, { type: "button" }));
      head.append(cell);
    }
    for (const row of rows.slice(1)) {
      const line = body.insertRow();
      for (const cell of row) line.insertCell().append(cell ?? "–");
    }
  }

  /** A sentence of the app, with names in place of their marks, and what is between ** in bold. */
  function sentence(text, entry, base) {
    const line = element("p");
    text.replaceAll(/\\([!-/:-@[-`{-~])/g, "$1").split("**").forEach((part, place) =>
      line.append(element(place % 2 ? "strong" : "span", part.replaceAll("\ue000", entry).replaceAll("\ue001", base))));
    return line;
  }

  /** A name after the colour that its entry has in the charts. */
  function swatch(name, place) {
    const mark = element("i", "", { className: "swatch" });
    mark.style.background = LOOKS[place].colour;
    return [mark, name];
  }

  function choices(entries) {
    const suite = query().get("suite");
    if (suite in suites) form.suite.value = suite;
    else if (suite) complain("suite", [suite], Object.keys(suites));
    const free = suites[form.suite.value].entries.filter(entry => !entries.includes(entry));
    form.add.replaceChildren(element("option", "…", { value: "" }),
      ...free.map(entry => element("option", entry.names.filter(Boolean).join(" · "), { value: entry.id })));
    form.add.disabled = entries.length >= MOST;
    byId("chosen").replaceChildren(...entries.map((entry, place) => {
      const item = element("li"), name = names(entries)[place];
      const remove = element("button", "×", { type: "button", ariaLabel: `Remove ${name}` });
      remove.onclick = () => choose(entries.filter(each => each !== entry).map(each => each.id));
      item.append(...swatch(name, place), remove);
      return item;
    }));
  }

  function choose(ids) {
    remember("suite", [form.suite.value]);
    remember("entries", ids);
    show();
  }

  async function show() {
    if (!Object.keys(suites).length) return;
    all(".wrong").forEach(note => note.remove());
    const entries = chosen(), unknown = query().getAll("entries").length - entries.length;
    choices(entries);
    const ready = entries.length > 1;
    byId("comparison").hidden = !ready;
    byId("hint").hidden = ready && !unknown;
    if (unknown) byId("hint").textContent = `${unknown} of the entries in the address are not in this suite, or are more than four.`;
    if (!ready) return;
    const loaded = await Promise.all(entries.map(entry => load(entry.file)));
    const called = names(entries), [first, ...others] = loaded;
    const looks = called.map((entry, place) => ({ entry, ...LOOKS[place] }));
    for (const key of all(".key")) key.replaceChildren(...called.flatMap((name, place) => {
      const item = element("span");
      item.append(...swatch(name, place));
      return [item, " "];
    }));
    fill("summary", [["entry", ...Object.keys(entries[0].summary)], ...entries.map((entry, place) =>
      [element("a", called[place], { href: url(entry.page) }), ...Object.values(entry.summary)])]);
    const gaps = entries.slice(1).map(entry => first.others[entry.id]);
    byId("said").replaceChildren(...gaps.map((gap, place) => sentence(gap.said, called[place + 1], called[0])));
    scores(called, loaded, gaps, suites[form.suite.value].tasks);
    await gapChart(gaps, looks);
    tasks(loaded, looks, called);
  }

  function scores(called, loaded, gaps, tasks) {
    const row = (text, task) => [text, ...loaded.map(each => task ? each.scores[task] : each.overall),
                                 ...gaps.map(gap => gap.by_task[task]?.[3])];
    fill("scores", [["task", ...called, ...called.slice(1).map(name => `${name}, difference`)],
                    row("all tasks", ""), ...tasks.map(task => row(task, task))]);
  }

  let views = [];
  async function redraw(id, spec, values) {
    spec.data.find(each => each.name === "points").values = values;
    byId(id).replaceChildren();
    views.push(await drawn(spec, byId(id)));
  }

  async function gapChart(gaps, looks) {
    views.forEach(view => view.finalize());
    views = [];
    const values = gaps.flatMap((gap, place) => Object.entries(gap.by_task).map(([task, [score, low, high, interval]], order) =>
      ({ task: task || "all tasks", order, place, gap: score, low, high, interval, ...looks[place + 1] })));
    await redraw("gaps", await load("compare/gaps.json"), values);
  }

  function tasks(loaded, looks, called) {
    const shared = Object.keys(loaded[0].tasks), list = byId("task");
    list.replaceChildren(...shared.map(task => element("option", task)));
    const asked = query().get("task");
    if (shared.includes(asked)) list.value = asked;
    else if (asked) complain("task", [asked], shared);
    const update = () => onTask(list.value, loaded, looks, called);
    list.onchange = () => { remember("task", [list.value]); update(); };
    update();
  }

  async function onTask(task, loaded, looks, called) {
    const own = loaded.map(each => each.tasks[task]), some = own.find(Boolean);
    const values = own.flatMap((each, place) => (each?.curves ?? []).map(([seed, step, value]) => ({ seed, step, value, ...looks[place] })));
    byId("curves").closest("figure").hidden = !values.length;
    if (values.length) await redraw("curves", await load(some.chart), values);
    fill("reached", [["entry", ...Object.keys(some.row)], ...own.map((each, place) =>
      [called[place], ...Object.keys(some.row).map(name => each?.row[name].replaceAll("\\", ""))])]);
    const every = new Map(own.flatMap(each => each?.settings ?? []).map(([name, , isOwn]) => [name, isOwn]));
    const cell = (each, name) => each?.settings.find(([other]) => other === name);
    const differing = [...every.keys()].filter(name => new Set(own.map(each => cell(each, name)?.[1])).size > 1);
    differing.sort((one, other) => every.get(other) - every.get(one));
    const text = ([, value, , tuned]) => element(tuned ? "strong" : "span", value);
    fill("settings", [["setting", ...called], ...differing.map(name =>
      [name, ...own.map(each => cell(each, name)).map(found => found && text(found))])]);
  }

  form.suite.onchange = () => { remember("task", []); choose([]); };
  form.add.onchange = () => choose([...chosen().map(entry => entry.id), form.add.value]);
  dark.addEventListener("change", show);
  addEventListener("popstate", show);
  addEventListener("DOMContentLoaded", show);
})();
