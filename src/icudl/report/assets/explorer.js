const unpack = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

/* A stay as packed by icudl.report.sections.explorer: a bit per cell (charted or not), then one 16-bit step per charted value. */
function chartedOf(pack, stay) {
  const bits = unpack(stay.mask);
  const steps = new DataView(unpack(stay.values).buffer);
  const variables = pack.variables.map(() => []);
  let taken = 0;
  for (let cell = 0; cell < pack.hours * pack.variables.length; cell += 1) {
    if (!(bits[cell >> 3] & (128 >> (cell & 7)))) continue;
    const variable = cell % pack.variables.length;
    const { low, step } = pack.variables[variable];
    variables[variable].push([Math.floor(cell / pack.variables.length), low + step * steps.getUint16(2 * taken, true)]);
    taken += 1;
  }
  return variables;
}

function changesOf(pack, example) {
  if (!example) return [];
  const view = new DataView(unpack(example.cells).buffer);
  const changes = [];
  for (let at = 0; at < view.byteLength; at += 7) {
    const variable = view.getUint8(at + 2);
    const { low, step } = pack.variables[variable];
    const [before, after] = [3, 5].map((offset) => low + step * view.getUint16(at + offset, true));
    changes.push({ hour: view.getUint16(at, true), variable, before, after });
  }
  return changes;
}

/* What a network is given between the charted values: a straight line (or the last value), held at both ends, inside
   the limits of the training stays; their median where nothing was charted. A model that reads values as they were
   charted is given neither: there the line joins them, and nothing is cut off. */
function filled(pack, charted, length, limits) {
  if (!charted.length) return pack.asCharted ? [] : Array.from({ length }, () => limits.median);
  const clip = (value) => (pack.asCharted ? value : Math.min(Math.max(value, limits.lower), limits.upper));
  const points = charted.map(([hour, value]) => [hour, clip(value)]);
  const line = [];
  let next = 0;
  for (let hour = 0; hour < length; hour += 1) {
    while (next < points.length && points[next][0] < hour) next += 1;
    const after = points[next];
    const before = points[next - 1];
    if (after && after[0] === hour) line.push(after[1]);
    else if (!before) line.push(pack.imputation === "forward" ? limits.median : after[1]);
    else if (!after || pack.imputation === "forward") line.push(before[1]);
    else line.push(before[1] + ((after[1] - before[1]) * (hour - before[0])) / (after[0] - before[0]));
  }
  return line;
}

/* What the model is given after the change: a wrong entry in the record is filled in like a right one; where any cell
   may be changed, only that cell moves. */
function altered(pack, charted, length, limits, line, mine) {
  if (pack.threat === "grid") {
    const moved = [...line];
    for (const change of mine) moved[change.hour] = change.after;
    return moved;
  }
  const wrong = new Map(mine.map((change) => [change.hour, change.after]));
  return filled(pack, charted.map(([hour, value]) => [hour, wrong.get(hour) ?? value]), length, limits);
}

/* What the model sees in place of a value that lies outside its limits; null where it sees the value, or as good as. */
function seenAs(variable, value, limits) {
  if (!limits.cut) return null;
  const slack = variable.step + 0.01 * (limits.upper - limits.lower);
  if (value > limits.upper + slack) return limits.upper;
  return value < limits.lower - slack ? limits.lower : null;
}

function limitsOf(pack, member, index) {
  return { lower: member.lower[index], upper: member.upper[index], median: member.median[index], cut: !pack.asCharted };
}

const sees = (variable, limit, limits) => `the model sees ${inUnit(limit, variable)} at ${limit === limits.upper ? "most" : "least"}`;

/* The farthest values outside the limits, at most one at either end: [value, what the model sees in its place]. */
function farthest(variable, values, limits) {
  if (!values.length) return [];
  return [Math.max(...values), Math.min(...values)].map((value) => [value, seenAs(variable, value, limits)])
    .filter(([, seen], end) => seen !== null && seen === (end ? limits.lower : limits.upper));
}

/* Where words about the whole course stand: at the side that the changes leave free. */
const besides = (changes, hours) => (changes.filter((change) => 2 * change.hour > hours).length * 2 > changes.length ? "left" : "right");

/* A line at each limit that a value oversteps, with the words beside it. */
function markLimits(node, variable, values, limits, py, area, side) {
  for (const [, seen] of farthest(variable, values, limits)) {
    const y = py(seen);
    const above = seen === limits.upper ? y - area.top > 14 : area.bottom - y < 14;
    node.append(svg("line", { class: "limit", x1: area.left, x2: area.right, y1: y, y2: y }),
      svg("text", { class: "sees", x: area[side], y: above ? y - 4 : y + 12, "text-anchor": side === "left" ? "start" : "end" }, sees(variable, seen, limits)));
  }
}

/* The numbers of a stay: a row for each charted or changed value. */
function stayData(pack, stay, example) {
  const limits = pack.members[stay.member];
  const wrong = new Map(changesOf(pack, stay[example]).map((change) => [`${change.hour} ${change.variable}`, change]));
  const rows = chartedOf(pack, stay).flatMap((points, index) => points.map(([hour, value]) => {
    const change = wrong.get(`${hour} ${index}`);
    wrong.delete(`${hour} ${index}`);
    return [index, hour, value, change?.after ?? null];
  }));
  for (const change of wrong.values()) rows.push([change.variable, change.hour, null, change.after]);
  rows.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const columns = [["Variable", false], ["Unit", false], ["Hour", true], ["Charted", true], ["Changed to", true]];
  if (!pack.asCharted) columns.push(["Model sees at least", true], ["Model sees at most", true]);
  const digits = (value) => (value === null ? null : Number(value.toPrecision(6)));
  return { columns, rows: rows.map(([index, hour, value, after]) => [
    pack.variables[index].label, pack.variables[index].unit, hour, digits(value), digits(after), ...(pack.asCharted ? [] : [limits.lower[index], limits.upper[index]])]) };
}

const inUnit = (value, variable) => `${formatNumber(value)}${variable.unit ? ` ${variable.unit}` : ""}`;

function changeText(change, pack) {
  const variable = pack.variables[change.variable];
  const near = formatNumber(change.before) === formatNumber(change.after) ? 5 : 3;
  return `${variable.label} at hour ${change.hour}: ${formatNumber(change.before, near)} to ${formatNumber(change.after, near)}${variable.unit ? ` ${variable.unit}` : ""}`;
}

function drawVariable(pack, index, charted, length, limits, changes, width) {
  const variable = pack.variables[index];
  const line = filled(pack, charted, length, limits);
  const mine = changes.filter((change) => change.variable === index);
  const values = charted.map((point) => point[1]).concat(line, mine.flatMap((change) => [change.before, change.after]));
  const height = 104;
  const area = { left: 38, right: width - 8, top: 8, bottom: height - 18 };
  const px = makeScale({}, [0, pack.hours - 1], area.left, area.right);
  const domain = domainOf({}, values.concat([limits.lower, limits.upper]));
  const py = makeScale({}, domain, area.bottom, area.top);
  const node = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": describeVariable(variable, charted, mine, length, limits) });
  node.append(svg("rect", { class: "range", x: area.left, width: area.right - area.left, y: py(limits.upper), height: py(limits.lower) - py(limits.upper) }));
  for (const value of py.ticks(3)) {
    node.append(svg("line", { class: "gridline", x1: area.left, x2: area.right, y1: py(value), y2: py(value) }),
      svg("text", { class: "tick", x: area.left - 5, y: py(value) + 4, "text-anchor": "end" }, formatNumber(value)));
  }
  for (const hour of linearTicks(0, pack.hours, 4).filter((value) => value < pack.hours)) {
    node.append(svg("text", { class: "tick", x: px(hour), y: height - 4, "text-anchor": "middle" }, String(hour)));
  }
  const path = line.map((value, hour) => `${hour ? "L" : "M"}${px(hour).toFixed(1)} ${py(value).toFixed(1)}`).join("");
  node.append(svg("path", { class: "imputed", d: path }));
  if (mine.length) {
    const after = altered(pack, charted, length, limits, line, mine);
    const differs = (hour) => hour >= 0 && hour < length && Math.abs(after[hour] - line[hour]) > 1e-6 * (domain[1] - domain[0]);
    const near = after.map((_value, hour) => differs(hour) || differs(hour - 1) || differs(hour + 1));
    const moved = after.map((value, hour) => (near[hour] ? `${near[hour - 1] ? "L" : "M"}${px(hour).toFixed(1)} ${py(value).toFixed(1)}` : "")).join("");
    node.append(svg("path", { class: "altered", d: moved }));
  }
  markLimits(node, variable, charted.map((point) => point[1]).concat(mine.map((change) => change.after)), limits, py, area, besides(mine, pack.hours));
  for (const [hour, value] of charted) {
    node.append(svg("circle", { class: seenAs(variable, value, limits) === null ? "charted" : "charted beyond", cx: px(hour).toFixed(1), cy: py(value).toFixed(1), r: 2.3 },
      svg("title", {}, `Hour ${hour}: ${inUnit(value, variable)}`)));
  }
  for (const change of mine) {
    const [x, from, to] = [px(change.hour), py(change.before), py(change.after)];
    node.append(svg("g", {}, svg("title", {}, changeText(change, pack)),
      svg("line", { class: "moved", x1: x, x2: x, y1: from, y2: to }),
      svg("circle", { class: "movedfrom", cx: x, cy: from, r: 3.2 }),
      svg("path", { class: "movedto", d: `M${x - 5} ${to}L${x} ${to - 5}L${x + 5} ${to}L${x} ${to + 5}Z` })));
  }
  const note = mine.length ? `${mine.length} changed` : charted.length ? `${charted.length} charted` : "never charted";
  return html("div", { class: mine.length ? "cell changed" : "cell" }, html("p", {}, html("strong", {}, variable.unit ? `${variable.label}, ${variable.unit}` : variable.label), html("span", {}, note)), node);
}

function describeVariable(variable, charted, mine, length, limits) {
  const measured = charted.length
    ? `${charted.length} of ${length} hours charted, ${inUnit(Math.min(...charted.map((p) => p[1])), variable)} to ${inUnit(Math.max(...charted.map((p) => p[1])), variable)}`
    : `never charted${limits.cut ? ", filled with the median of the training stays" : ""}`;
  const moved = mine.map((change) => `hour ${change.hour} from ${inUnit(change.before, variable)} to ${inUnit(change.after, variable)}`).join("; ");
  const cut = farthest(variable, charted.map((point) => point[1]), limits).map(([value, seen]) => ` Of ${inUnit(value, variable)} ${sees(variable, seen, limits)}.`);
  return `${variable.label}: ${measured}.${moved ? ` Changed: ${moved}.` : ""}${cut.join("")}`;
}

const MOST_CUT = 3;

/* The sentence about charted values that the model cannot see as they are; "" where it sees all of them. */
function cutText(pack, charted, limitsAt) {
  const found = pack.variables.flatMap((variable, index) => {
    const limits = limitsAt(index);
    return farthest(variable, charted[index].map((point) => point[1]), limits)
      .map(([value, seen]) => `${variable.label} ${inUnit(value, variable)} (${sees(variable, seen, limits)})`);
  });
  if (!found.length) return "";
  const more = found.length > MOST_CUT ? `, and ${found.length - MOST_CUT} more` : "";
  return `Outside what the model can see: ${found.slice(0, MOST_CUT).join(", ")}${more}. Each is read as the limit.`;
}

const SORTS = {
  fragile: (a, b) => (a.best?.changed ?? Infinity) - (b.best?.changed ?? Infinity) || swing(b) - swing(a),
  swing: (a, b) => swing(b) - swing(a),
  risk: (a, b) => b.before - a.before,
  stay: (a, b) => a.id - b.id,
};
const swing = (stay) => (stay.best ? Math.abs(stay.best.risk - stay.before) : -1);
const MOST_LISTED = 400;

class Explorer {
  constructor(box, pack) {
    Object.assign(this, { box, pack, chosen: null, listed: [] });
    const find = (name) => box.querySelector(`[data-explorer="${name}"]`);
    this.parts = Object.fromEntries(["search", "sort", "direction", "example", "list", "count", "previous", "next", "view", "moved", "plots"].map((name) => [name, find(name)]));
    this.alike = pack.stays.every(({ first, best }) => first?.cells === best?.cells);
    this.parts.example.hidden = this.alike;
    this.example = () => box.querySelector('.picker input[type="radio"]:checked').value;
    for (const name of ["search", "sort", "direction"]) this.parts[name].addEventListener("input", () => this.refresh());
    for (const radio of box.querySelectorAll('.picker input[type="radio"]')) radio.addEventListener("change", () => this.show());
    this.parts.list.addEventListener("click", (event) => {
      const option = event.target.closest('[role="option"]');
      if (option) this.choose(Number(option.dataset.index));
    });
    this.parts.list.addEventListener("keydown", (event) => this.key(event));
    this.parts.previous.addEventListener("click", () => this.move(-1));
    this.parts.next.addEventListener("click", () => this.move(1));
    this.values = box.querySelector("details.values");
    this.values.addEventListener("toggle", () => this.show());
    this.parts.plots.after(saveButtons("the charts of this stay", () => `stay-${this.listed[this.chosen].id}`, () => this.sheet(),
      () => stayData(pack, this.listed[this.chosen], this.example())));
    new ResizeObserver(() => {
      if (Math.abs(this.parts.view.clientWidth - (this.width ?? 0)) > 1) this.show();
    }).observe(this.parts.view);
    this.refresh();
  }

  refresh() {
    const wanted = this.parts.search.value.trim().toLowerCase();
    const direction = this.parts.direction.value;
    this.listed = this.pack.stays
      .filter((stay) => (direction === "all" || (direction === "failed" ? !stay.best : stay.best && stay.direction === direction)))
      .filter((stay) => !wanted || `${stay.id} ${stay.who}`.toLowerCase().includes(wanted))
      .sort((a, b) => SORTS[this.parts.sort.value](a, b) || a.id - b.id);
    const shown = this.listed.slice(0, MOST_LISTED);
    this.parts.list.replaceChildren(...shown.map((stay, index) => html("div", { role: "option", id: `${this.box.id}-option-${index}`, "data-index": index, "aria-selected": "false" },
      html("span", {}, `Stay ${stay.id}`), html("span", {}, stay.best ? `${stay.best.changed} changed` : "not flipped"))));
    const more = this.listed.length > shown.length ? `, the first ${shown.length} listed` : "";
    this.parts.count.textContent = `${this.listed.length.toLocaleString("en-US")} of ${this.pack.stays.length.toLocaleString("en-US")} stays${more}`;
    this.chosen = null;
    if (shown.length) this.choose(0, false);
    else this.clear();
  }

  /* Nothing of the stay shown before may stand under a list in which it is not. */
  clear() {
    this.parts.list.removeAttribute("aria-activedescendant");
    this.parts.view.replaceChildren(html("p", {}, "No stay fits."));
    this.parts.moved.replaceChildren();
    this.parts.plots.replaceChildren();
    this.values.querySelector(".holder").replaceChildren();
  }

  key(event) {
    const last = Math.min(this.listed.length, MOST_LISTED) - 1;
    const jumps = { ArrowDown: this.chosen + 1, ArrowUp: this.chosen - 1, Home: 0, End: last, PageDown: this.chosen + 10, PageUp: this.chosen - 10 };
    if (!(event.key in jumps) || last < 0) return;
    event.preventDefault();
    this.choose(Math.min(Math.max(jumps[event.key], 0), last));
  }

  move(by) {
    const last = Math.min(this.listed.length, MOST_LISTED) - 1;
    if (last >= 0) this.choose(Math.min(Math.max(this.chosen + by, 0), last));
  }

  choose(index, follow = true) {
    const list = this.parts.list;
    list.querySelector('[aria-selected="true"]')?.setAttribute("aria-selected", "false");
    const option = list.children[index];
    option.setAttribute("aria-selected", "true");
    list.setAttribute("aria-activedescendant", option.id);
    if (follow) {
      if (option.offsetTop < list.scrollTop) list.scrollTop = option.offsetTop;
      else if (option.offsetTop + option.offsetHeight > list.scrollTop + list.clientHeight) list.scrollTop = option.offsetTop + option.offsetHeight - list.clientHeight;
    }
    this.chosen = index;
    this.show();
  }

  show() {
    const stay = this.listed[this.chosen];
    if (!stay) return;
    this.width = this.parts.view.clientWidth;
    const example = stay[this.example()];
    const changes = changesOf(this.pack, example);
    const charted = chartedOf(this.pack, stay);
    const member = this.pack.members[stay.member];
    const limits = (index) => limitsOf(this.pack, member, index);
    const changed = new Set(changes.map((change) => change.variable));
    const drawIn = (grid, wanted) => {
      const each = wanted ? Math.max(200, Math.min(448, grid.clientWidth)) : Math.max(200, Math.min(360, (grid.clientWidth - 40) / Math.max(1, Math.floor((grid.clientWidth + 13) / 261))));
      grid.replaceChildren(...this.pack.variables.flatMap((_, index) => (changed.has(index) === wanted ? [drawVariable(this.pack, index, charted[index], stay.length, limits(index), changes, each)] : [])));
    };
    drawIn(this.parts.moved, true);
    drawIn(this.parts.plots, false);
    this.parts.view.replaceChildren(...this.words(stay, example, changes, member, cutText(this.pack, charted, limits)), ...this.proved(stay, charted));
    this.table(stay, charted, changes);
  }

  sheet() {
    const cells = [...this.box.querySelectorAll(".small-plots .cell")];
    const stay = this.listed[this.chosen];
    const charts = cells.map((cell) => ({ node: cell.querySelector("svg"), name: cell.querySelector("strong").textContent }));
    return sheetOf({ title: `Stay ${stay.id}${stay.who ? `: ${stay.who}` : ""}`, charts, columns: Math.min(4, charts.length), basis: this.box.querySelector("p.key-text").textContent });
  }

  table(stay, charted, changes) {
    if (!this.values.open) return;
    const { variables } = this.pack;
    const moved = new Map(changes.map((change) => [`${change.hour} ${change.variable}`, change]));
    const cells = charted.map((points) => new Map(points));
    const columns = [["Hour", true], ...variables.map((variable) => [variable.unit ? `${variable.label}, ${variable.unit}` : variable.label, false])];
    const rows = Array.from({ length: stay.length }, (_, hour) => [hour, ...variables.map((_variable, index) => {
      const change = moved.get(`${hour} ${index}`);
      const value = cells[index].get(hour);
      if (change) return `${formatNumber(change.before)} → ${formatNumber(change.after)}`;
      return value === undefined ? "" : formatNumber(value);
    })]);
    const scroll = html("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `Values of stay ${stay.id}` }, buildTable({ columns, rows }, `Values of stay ${stay.id}`));
    this.values.querySelector(".holder").replaceChildren(scroll);
    markScroll(scroll);
  }

  /* What is proved of one wrong value in this record; nothing where the stay was not looked at. */
  proved(stay, charted) {
    const { proof } = stay;
    if (!proof) return [];
    const what = this.pack.provedThreat === "grid" ? "cell" : "charted value";
    const open = proof.undecided ? ` ${proof.undecided.toLocaleString("en-US")} of its ${proof.values.toLocaleString("en-US")} ${what}s ${proof.undecided === 1 ? "is" : "are"} undecided.` : "";
    if (proof.status === "proven") return [html("p", { class: "proved" }, `Proven against any one wrong ${what}: no plausible number in the place of any of its ${proof.values.toLocaleString("en-US")} ${what}s flips this prediction.`)];
    if (!proof.flips.length) return [html("p", { class: "proved" }, `Undecided whether one wrong ${what} can flip this prediction.${open}`)];
    const texts = proof.flips.map(([hour, index, low, high]) => {
      const variable = this.pack.variables[index];
      const near = formatNumber(low) === formatNumber(high) ? 5 : 3;
      const [from, to] = [low, high].map((value) => formatNumber(value, near));
      const now = charted[index].find(([at]) => at === hour);
      const range = `${from === to ? from : `${from} to ${to}`}${variable.unit ? ` ${variable.unit}` : ""}`;
      return `${variable.label} at hour ${hour}: ${range}${now ? ` (charted: ${formatNumber(now[1], near)})` : ""}`;
    });
    const cells = new Set(proof.flips.map(([hour, index]) => `${hour} ${index}`)).size;
    const entry = this.pack.provedThreat === "grid" ? "value" : "entry";
    const said = html("p", { class: "proved" }, `Proof: ${cells === 1 ? `1 of its ${proof.values.toLocaleString("en-US")} ${what}s flips` : `${cells.toLocaleString("en-US")} of its ${proof.values.toLocaleString("en-US")} ${what}s each flip`} this prediction alone${open ? "" : ", and no other does"}.${open} It flips where the ${entry} reads:`);
    const items = texts.map((text) => html("li", {}, text));
    const parts = [said, html("ul", { class: "changes" }, ...items.slice(0, 8))];
    if (items.length > 8) parts.push(html("details", {}, html("summary", {}, `${items.length - 8} further ranges`), html("ul", { class: "changes" }, ...items.slice(8))));
    return parts;
  }

  words(stay, example, changes, member, cut) {
    const head = html("h3", {}, `Stay ${stay.id}`);
    const told = this.pack.words ?? { yes: "The patient died in hospital.", no: "The patient left hospital alive.", none: "survival", one: "death" };
    const outcome = stay.label ? told.yes : told.no;
    const [risked, turnedTo] = formatRisks(stay.before, example?.risk);
    const rows = [["Before", stay.before, "", risked]];
    if (example) rows.push(["After", example.risk, "after", turnedTo]);
    const risk = html("div", { class: "risk" }, ...rows.flatMap(([name, value, kind, text]) => {
      const bar = html("span", { class: `fill ${kind}` });
      bar.style.width = `${100 * value}%`;
      const edge = html("span", { class: "edge" });
      edge.style.left = `${100 * member.threshold}%`;
      return [html("span", {}, `Risk ${name.toLowerCase()}`), html("span", { class: "track", "aria-hidden": "true" }, bar, edge), html("strong", {}, text)];
    }));
    const about = html("p", {}, `${stay.who}${stay.who ? ". " : ""}${outcome} ${stay.length} hours seen by the model.`);
    const unseen = cut ? [html("p", { class: "cut" }, cut)] : [];
    if (!example) {
      const why = stay.status === "failed" ? "No change was found that flips this prediction." : `Not attacked: ${stay.statusText}.`;
      return [head, about, risk, html("p", { class: "says" }, why), ...unseen];
    }
    const kind = this.example();
    const size = `${changes.length} ${changes.length === 1 ? "value" : "values"}`;
    const turned = stay.direction === "survival" ? `predicted ${told.none} becomes predicted ${told.one}` : `predicted ${told.one} becomes predicted ${told.none}`;
    const opening = changes.length === 1 ? `${changeText(changes[0], this.pack)}. With this one value changed` : `With ${size} changed`;
    const says = html("p", { class: "says" }, `${opening}, ${turned}: the risk of ${told.one} goes from ${risked} to ${turnedTo} (the line at ${formatPercent(member.threshold)} is where the prediction turns).${this.alike ? "" : ` ${kind === "first" ? "First" : "Best"} example, found at iteration ${example.iteration}.`}`);
    const items = changes.map((change) => html("li", {}, changeText(change, this.pack)));
    const list = html("ul", { class: "changes" }, ...items.slice(0, 8));
    const parts = [head, about, risk, says, ...unseen];
    if (changes.length > 1) parts.push(list);
    if (items.length > 8) parts.push(html("details", {}, html("summary", {}, `${items.length - 8} further changes`), html("ul", { class: "changes" }, ...items.slice(8))));
    return parts;
  }
}
