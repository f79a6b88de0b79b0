function sortRows(table, column, numeric, direction) {
  const body = table.tBodies[0];
  const keyed = [...body.rows].map((row, index) => ({ row, index, cell: row.cells[column] }));
  const value = (item) => (numeric ? (item.cell.dataset.sort === undefined ? null : Number(item.cell.dataset.sort)) : item.cell.textContent);
  keyed.sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === null || y === null) return (x === null) - (y === null) || a.index - b.index;
    const order = numeric ? x - y : x.localeCompare(y, "en", { numeric: true });
    return order * direction || a.index - b.index;
  });
  body.append(...keyed.map((item) => item.row));
}

function makeSortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const label = head.textContent;
    const button = html("button", { type: "button" }, label);
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const numeric = head.classList.contains("n");
      const first = numeric ? "descending" : "ascending";
      const second = numeric ? "ascending" : "descending";
      const next = head.getAttribute("aria-sort") === first ? second : first;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", next);
      sortRows(table, column, numeric, next === "ascending" ? 1 : -1);
    });
  });
}

function makeFilter(box) {
  const field = box.querySelector("input[data-filter]");
  if (!field) return;
  const rows = [...box.querySelectorAll("tbody tr")];
  field.addEventListener("input", () => {
    const wanted = field.value.trim().toLowerCase();
    for (const row of rows) row.hidden = wanted !== "" && !row.textContent.toLowerCase().includes(wanted);
  });
}

/* The numbers behind a drawing, as { columns: [[label, numeric]], rows }. */
function dataOf(spec) {
  if (spec.kind === "lines") {
    const banded = spec.series.some((series) => series.low);
    const columns = [["Series", false], [axisTitle(spec.x), true], [axisTitle(spec.y), true]];
    if (banded) columns.push(["95 % low", true], ["95 % high", true]);
    const rows = spec.series.flatMap((series) => series.x.map((x, index) => {
      const cells = [series.labels ? series.labels[index] : series.name, x, series.y[index]];
      return banded ? cells.concat([series.low?.[index] ?? null, series.high?.[index] ?? null]) : cells;
    }));
    return { columns, rows };
  }
  if (spec.kind === "bars") {
    const columns = [[`${axisTitle(spec.x)}, from`, true], ["to", true], ...spec.series.map((series) => [series.name, true])];
    return { columns, rows: spec.edges.slice(1).map((to, bin) => [spec.edges[bin], to, ...spec.series.map((series) => series.y[bin])]) };
  }
  if (spec.kind === "dots") {
    const columns = [["", false], ...spec.series.flatMap((series) => {
      const own = [[spec.series.length > 1 ? series.name : axisTitle(spec.x), true]];
      return series.low ? own.concat([["95 % low", true], ["95 % high", true]]) : own;
    })];
    const rows = spec.rows.map((label, item) => [label, ...spec.series.flatMap((series) => (
      series.low ? [series.x[item], series.low[item], series.high[item]] : [series.x[item]]))]);
    return { columns, rows };
  }
  const columns = [["Variable", false], ...Array.from({ length: spec.hours }, (_, hour) => [`h ${hour}`, true])];
  const rows = spec.rows.map((label, row) => [label, ...spec.values.slice(row * spec.hours, (row + 1) * spec.hours)]);
  return { columns, rows };
}

function buildTable(data, caption) {
  const head = html("tr", {}, ...data.columns.map(([label, numeric]) => html("th", { scope: "col", class: numeric ? "n" : null }, label || "Name")));
  const rows = data.rows.map((cells) => html("tr", {}, ...cells.map((cell, column) => {
    if (!data.columns[column][1]) return html(column === 0 ? "th" : "td", column === 0 ? { scope: "row" } : {}, cell === null ? "–" : String(cell));
    return html("td", { class: "n", "data-sort": cell === null || cell === undefined ? null : cell }, formatNumber(cell, 4));
  })));
  const table = html("table", {}, html("caption", { class: "visually-hidden" }, caption), html("thead", {}, head), html("tbody", {}, ...rows));
  makeSortable(table);
  return table;
}

function csvOf(data) {
  const quote = (cell) => {
    const text = cell === null || cell === undefined ? "" : String(cell);
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [data.columns.map(([label]) => label || "name"), ...data.rows].map((cells) => cells.map(quote).join(",")).join("\r\n");
}

/* A line above a box that shows less than it holds says so, and in which direction. */
function markScroll(box) {
  const line = html("p", { class: "more", hidden: true });
  box.before(line);
  const watch = new ResizeObserver(() => {
    const sideways = box.scrollWidth > box.clientWidth + 1;
    const down = box.scrollHeight > box.clientHeight + 1;
    line.hidden = !sideways && !down;
    line.textContent = sideways && down ? "↔↕ There is more: scroll sideways and down."
      : sideways ? "↔ There is more: scroll sideways." : "↕ There is more: scroll down.";
  });
  watch.observe(box);
  watch.observe(box.firstElementChild);
}
