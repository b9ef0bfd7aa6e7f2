"use strict";
/* Sorts a table by a click on a column's head, in the app and on the static pages. The app puts this file into its page
   as XML-safe text, so neither of the signs that begin a tag or an entity is in it. */

const UNITS = { s: 1, ms: 1e-3, "µs": 1e-6, min: 60, h: 3600, d: 86400, B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };
const SORTABLE = ".grid thead th, [data-testid=stTable] thead th";

/** The number that a cell begins with, in its unit; null if it begins with none. A metric's name may stand before it. */
function number(text) {
  const value = text.replace("−", "-").replace(/^[a-z]+\d? (?=[-\d])/, "");
  const [, digits, unit] = value.match(/^\+?(-?[\d,]*\.?\d+(?:e[-+]?\d+)?)\s*([a-zµA-Z]+)?/) ?? [];
  return digits === undefined ? null : parseFloat(digits.replaceAll(",", "")) * (UNITS[unit] ?? 1);
}

const isEmpty = text => text === "" || text === "–";

/** Compare two cells: by their numbers if both have one, else as names. */
function compared([a, x], [b, y]) {
  const byNumber = x === null || y === null ? 0 : x - y;
  return byNumber || a.localeCompare(b, "en", { numeric: true });
}

/** Sort a table by a column. What is empty comes last. */
function sort(table, head, falling) {
  const body = table.tBodies[0], direction = falling ? -1 : 1;
  const rows = [...body.rows].map(row => {
    const text = row.cells[head.cellIndex].textContent.trim();
    return [text, number(text), row];
  });
  rows.sort((one, other) => isEmpty(one[0]) - isEmpty(other[0]) || direction * compared(one, other));
  body.append(...rows.map(([, , row]) => row));
  for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
  head.ariaSort = falling ? "descending" : "ascending";
}

/** The first click on a column of numbers puts the largest first, on another one A. The second click turns that round. */
function sortAtClick(event) {
  const head = event.target.closest(SORTABLE);
  if (!head) return;
  const falling = head.ariaSort ? head.ariaSort === "ascending" : head.classList.contains("number");
  sort(head.closest("table"), head, falling);
  head.dispatchEvent(new CustomEvent("sorted", { bubbles: true, detail: { falling } }));
}

if (!window.sorts) document.addEventListener("click", sortAtClick);
window.sorts = true;
