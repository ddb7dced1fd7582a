"use strict";
// Tables sort by any column, long ones filter; pictures show one size at a time. Without this, everything is shown.

const number = new Intl.Collator("en", { numeric: true });

function sortBy(table, column, descending) {
  const body = table.tBodies[0];
  const keyed = [...body.rows].map(row => {
    const cell = row.cells[column];
    const value = cell.dataset.value;
    return { row, value: value === undefined ? null : Number(value), text: cell.textContent };
  });
  const hasNumbers = keyed.some(each => each.value !== null);
  keyed.sort((a, b) => {
    // What has no number stays at the end, whichever way.
    if (hasNumbers && (a.value === null || b.value === null)) return (a.value === null) - (b.value === null);
    const order = hasNumbers ? a.value - b.value : number.compare(a.text, b.text);
    return descending ? -order : order;
  });
  body.append(...keyed.map(each => each.row));
}

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const descending = head.getAttribute("aria-sort") === "ascending";
    for (const other of heads) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    sortBy(table, column, descending);
  }));
}

for (const input of document.querySelectorAll(".filter input")) {
  const part = input.closest("details");
  const rows = [...part.querySelectorAll("tbody tr")].map(row => ({ row, text: row.textContent.toLowerCase() }));
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const { row, text } of rows) {
      row.hidden = !words.every(word => text.includes(word));
      shown += !row.hidden;
    }
    part.querySelector(".count").textContent = `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} rows`;
  });
}

const sheets = document.getElementById("sheets");
if (sheets) {
  const show = () => {
    const size = document.querySelector("input[name=size]:checked").value;
    for (const figure of sheets.querySelectorAll("figure[data-size]")) figure.hidden = figure.dataset.size !== size;
    sheets.className = document.querySelector("input[name=width]:checked").value;
  };
  for (const input of document.querySelectorAll("#looks input")) input.addEventListener("change", show);
  show();
}
