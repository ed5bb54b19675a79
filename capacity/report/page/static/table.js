// The table of runs: sorted by a column, filtered by the values of each axis and by a text.

const filters = new Map();
const sorted = { column: null, down: false };
let searched = "";
const changed = [];

/** Whether a run passes the filters. */
function passes(run) {
  for (const [place, value] of filters) if (JSON.stringify(run.cells[place]) !== value) return false;
  return !searched || `${run.id} ${run.title} ${run.cells.join(" ")}`.toLowerCase().includes(searched);
}

const compare = (a, b) =>
  a === b ? 0 : a === null ? 1 : b === null ? -1 : typeof a === "number" && typeof b === "number" ? a - b
    : String(a).localeCompare(String(b), "en", { numeric: true });

function inOrder(runs) {
  if (sorted.column === null) return runs;
  const place = sorted.column;
  return [...runs].sort((a, b) => {
    const [left, right] = [a.cells[place], b.cells[place]];
    if (left === null || right === null) return compare(left, right); // missing ones last, either way
    return sorted.down ? compare(right, left) : compare(left, right);
  });
}

function showFilters() {
  const made = data.columns.flatMap((column, place) => {
    const values = [...new Set(data.runs.map((run) => JSON.stringify(run.cells[place])))];
    if (!column.axis || values.length < 2) return [];
    values.sort((a, b) => compare(JSON.parse(a), JSON.parse(b)));
    const select = make("select", {}, make("option", { value: "" }, "all"),
      values.map((value) => make("option", { value }, written(column, JSON.parse(value)))));
    select.dataset.axis = column.name;
    select.onchange = () => {
      if (select.value) filters.set(place, select.value);
      else filters.delete(place);
      refresh();
    };
    return [make("label", {}, column.label, select)];
  });
  const search = make("input", { type: "search", id: "search", placeholder: "any text" });
  search.oninput = () => {
    searched = search.value.trim().toLowerCase();
    refresh();
  };
  const clear = make("button", { type: "button", id: "clear" }, "Show all");
  clear.onclick = () => {
    filters.clear();
    searched = search.value = "";
    for (const select of byId("filters").querySelectorAll("select")) select.value = "";
    refresh();
  };
  byId("filters").replaceChildren(...made, make("label", {}, "Search", search), clear);
}

function heading(column, place) {
  const mark = sorted.column === place ? (sorted.down ? "▼" : "▲") : "";
  const button = make("button", { type: "button" }, column.label, make("span", { className: "mark", "aria-hidden": "true" }, mark));
  button.onclick = () => {
    if (sorted.column === place) sorted.down = !sorted.down;
    else Object.assign(sorted, { column: place, down: !column.axis && column.kind !== "text" });
    refresh();
    byId("table").querySelectorAll("th button")[place].focus();
  };
  const order = sorted.column === place ? (sorted.down ? "descending" : "ascending") : "none";
  return make("th", { scope: "col", "aria-sort": order, className: column.kind === "text" ? "text" : "" }, button);
}

function showTable() {
  const runs = inOrder(data.runs.filter(passes));
  const first = data.columns.findIndex((column) => column.name === "size");
  const rows = runs.map((run) => {
    const cells = data.columns.map((column, place) => {
      const text = written(column, run.cells[place]);
      const link = place === first ? make("a", { href: `#run-${encodeURIComponent(run.id)}`, title: run.id }, text) : text;
      const kind = column.kind === "text" ? "text" : column.name === "bits_per_param" ? "number strong" : "number";
      return make("td", { className: kind }, link);
    });
    const row = make("tr", {}, cells);
    row.dataset.run = run.id;
    row.onclick = (event) => {
      if (!event.target.closest("a") && !String(getSelection())) openRun(run.id);
    };
    return row;
  });
  byId("table").replaceChildren(
    make("thead", {}, make("tr", {}, data.columns.map(heading))), make("tbody", {}, rows));
  byId("count").textContent = runs.length === data.runs.length ? several(runs.length, "run")
    : `${grouped(runs.length)} of ${several(data.runs.length, "run")}`;
}

function refresh() {
  showTable();
  for (const follow of changed) follow();
}
