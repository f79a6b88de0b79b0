/* The picture of the first screen: a stay before and after, or a hundred squares for all of them. */

const SQUARES = 100;

class Picture {
  constructor(box, picture) {
    this.plot = box.querySelector(".plot");
    this.title = box.querySelector("h3").textContent;
    const numbers = () => (picture.kind === "stay" ? stayData(picture.pack, picture.pack.stays[0], "best") : sharesData(picture.shares));
    box.querySelector("figcaption").append(saveButtons("this picture", picture.id, () => this.sheet(), numbers));
    this.draw = picture.kind === "stay" ? (width) => drawStay(picture.pack, width) : (width) => drawShares(picture.shares, width);
    let width = 0;
    new ResizeObserver(() => {
      if (Math.abs(this.plot.clientWidth - width) <= 1) return;
      width = this.plot.clientWidth;
      this.show(width);
    }).observe(this.plot);
    this.show(this.plot.clientWidth || 520);
  }

  sheet() {
    const legend = [...this.plot.querySelectorAll(".key li")].map((item) => ({
      node: item.querySelector("svg"),
      name: [...item.childNodes].filter((part) => !(part instanceof SVGElement)).map((part) => part.textContent).join(" "),
    }));
    return sheetOf({ title: this.title, charts: [...this.plot.querySelectorAll(":scope > svg")].map((node) => ({ node })), legend });
  }

  show(width) {
    const nodes = this.draw(Math.max(260, width));
    this.plot.replaceChildren(...nodes);
    this.plot.dataset.drawn = String(nodes.length);
  }
}

const sharesData = (shares) => ({ columns: [["What it takes", false], ["Share of the attacked stays", true]], rows: shares });

function drawStay(pack, width) {
  const [stay] = pack.stays;
  const changes = changesOf(pack, stay.best);
  const charted = chartedOf(pack, stay);
  const member = pack.members[stay.member];
  const shown = [...new Set(changes.map((change) => change.variable))].slice(0, 3);
  const each = shown.length > 1 ? 150 : 220;
  const plots = shown.map((index, place) => {
    const last = place === shown.length - 1;
    const limits = limitsOf(pack, member, index);
    return drawCourse(pack, index, charted[index], stay.length, limits, changes, width, last ? each : each - 14, last);
  });
  return [...plots, drawRisk(stay, member.threshold, width, pack.words), pictureKey(pack, plots.some((plot) => plot.querySelector(".beyond")))];
}

/* One variable of one stay, large: what was charted, what lies between, and the change with its numbers. */
function drawCourse(pack, index, charted, length, limits, changes, width, height, last) {
  const variable = pack.variables[index];
  const line = filled(pack, charted, length, limits);
  const mine = changes.filter((change) => change.variable === index);
  const after = altered(pack, charted, length, limits, line, mine);
  const values = charted.map((point) => point[1]).concat(line, after, mine.flatMap((change) => [change.before, change.after]));
  const area = { left: 46, right: width - 12, top: 30, bottom: height - (last ? 36 : 22) };
  const px = makeScale({}, [0, pack.hours - 1], area.left, area.right);
  const domain = domainOf({}, values);
  const py = makeScale({}, domain, area.bottom, area.top);
  const inside = (value) => Math.min(Math.max(value, domain[0]), domain[1]);
  const node = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": describeVariable(variable, charted, mine, length, limits) });
  const [top, bottom] = [py(inside(limits.upper)), py(inside(limits.lower))];
  node.append(svg("rect", { class: "range", x: area.left, width: area.right - area.left, y: top, height: Math.max(0, bottom - top) }));
  node.append(svg("text", { class: "strong", x: 0, y: 14 }, variable.unit ? `${variable.label}, ${variable.unit}` : variable.label));
  for (const value of py.ticks(4)) {
    node.append(svg("line", { class: "gridline", x1: area.left, x2: area.right, y1: py(value), y2: py(value) }),
      svg("text", { x: area.left - 7, y: py(value) + 4, "text-anchor": "end" }, formatNumber(value)));
  }
  for (const hour of linearTicks(0, pack.hours, 6).filter((value) => value < pack.hours)) {
    node.append(svg("text", { x: px(hour), y: area.bottom + 16, "text-anchor": "middle" }, String(hour)));
  }
  if (last) node.append(svg("text", { x: (area.left + area.right) / 2, y: height - 4, "text-anchor": "middle" }, "Hours since ICU admission"));
  const path = (values, wanted) => values.map((value, hour) => (wanted(hour) ? `${hour && wanted(hour - 1) ? "L" : "M"}${px(hour).toFixed(1)} ${py(value).toFixed(1)}` : "")).join("");
  node.append(svg("path", { class: "imputed", d: path(line, () => true) }));
  const differs = (hour) => hour >= 0 && hour < length && Math.abs(after[hour] - line[hour]) > 1e-6 * (domain[1] - domain[0]);
  node.append(svg("path", { class: "altered", d: path(after, (hour) => differs(hour) || differs(hour - 1) || differs(hour + 1)) }));
  markLimits(node, variable, [...charted.map((point) => point[1]), ...mine.map((change) => change.after)], limits, py, area, besides(mine, pack.hours));
  for (const [hour, value] of charted) node.append(svg("circle", { class: seenAs(variable, value, limits) === null ? "charted" : "charted beyond", cx: px(hour).toFixed(1), cy: py(value).toFixed(1), r: 3 }));
  for (const change of mine) node.append(...changeMark(change, px(change.hour), py(change.before), py(change.after), area));
  return node;
}

function changeMark(change, x, from, to, area) {
  const near = formatNumber(change.before) === formatNumber(change.after) ? 5 : 3;
  const texts = [change.before, change.after].map((value) => formatNumber(value, near));
  const right = x + 12 + 9.5 * Math.max(...texts.map((text) => text.length)) <= area.right + 12;
  const beside = { x: right ? x + 11 : x - 11, "text-anchor": right ? "start" : "end" };
  const upwards = to < from;
  const apart = Math.max(0, 15 - Math.abs(from - to)) / 2;
  return [
    svg("line", { class: "moved", x1: x, x2: x, y1: from, y2: to }),
    svg("circle", { class: "movedfrom", cx: x, cy: from, r: 4.5 }),
    svg("path", { class: "movedto", d: `M${x - 7} ${to}L${x} ${to - 7}L${x + 7} ${to}L${x} ${to + 7}Z` }),
    svg("text", { class: "was", ...beside, y: from + 4 + (upwards ? apart : -apart) }, texts[0]),
    svg("text", { class: "becomes", ...beside, y: to + 4 - (upwards ? apart : -apart) }, texts[1]),
  ];
}

/* The risk before and after on one scale, with the threshold at which the prediction turns. */
function drawRisk(stay, threshold, width, words) {
  const [before, after] = formatRisks(stay.before, stay.best.risk);
  const area = { left: 66, right: width - 132 };
  const most = Math.max(stay.before, stay.best.risk, threshold);
  const end = [0.1, 0.2, 0.5, 1].find((each) => each >= 1.2 * most) ?? 1;
  const px = makeScale({}, [0, end], area.left, area.right);
  const { none, one } = words ?? { none: "survival", one: "death" };
  const turned = stay.direction === "survival" ? [none, one] : [one, none];
  const height = 92;
  const node = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": `Risk of ${one} before ${before}, after ${after}; the prediction turns at ${formatPercent(threshold)}.` });
  node.append(svg("text", { class: "strong", x: 0, y: 13 }, `Risk of ${one}, and what is predicted`));
  [["charted", stay.before, before, "bar"], ["changed", stay.best.risk, after, "bar after"]].forEach(([name, value, text, kind], place) => {
    const y = 26 + 28 * place;
    node.append(
      svg("text", { x: 0, y: y + 14 }, name),
      svg("rect", { class: "track", x: area.left, width: area.right - area.left, y, height: 18, rx: 4 }),
      svg("rect", { class: kind, x: area.left, width: Math.max(2, px(value) - area.left), y, height: 18, rx: 4 }),
      svg("text", { class: "strong", x: area.right + 8, y: y + 14 }, `${text}: ${turned[place]}`),
    );
  });
  const edge = width < 420 ? Math.max(px(threshold), 50) : Math.min(Math.max(px(threshold), area.left + 62), area.right - 92);
  node.append(svg("line", { class: "edge", x1: px(threshold), x2: px(threshold), y1: 20, y2: 78 }),
    svg("text", { x: edge, y: 90, "text-anchor": "middle" }, `turns at ${formatPercent(threshold)}`),
    ...(width < 420 ? [] : [
      svg("text", { x: area.left, y: 90, "text-anchor": "start" }, "0"),
      svg("text", { x: area.right, y: 90, "text-anchor": "end" }, formatPercent(end)),
    ]));
  return node;
}

function pictureKey(pack, beyond) {
  const key = (mark, text) => html("li", {}, svg("svg", { viewBox: "0 0 22 12", width: 22, height: 12, "aria-hidden": "true" }, ...mark), text);
  return html("ul", { class: "key" },
    key([svg("circle", { class: "charted", cx: 11, cy: 6, r: 3 })], "charted"),
    beyond ? key([svg("circle", { class: "charted beyond", cx: 11, cy: 6, r: 3 })], "charted beyond the limits") : null,
    key([svg("path", { class: "imputed", d: "M0 6H22" })], pack.asCharted ? "from one charted value to the next" : "what the model is given"),
    key([svg("path", { class: "altered", d: "M0 6H22" })], "the same after the change"),
    key([svg("path", { class: "movedto", d: "M4 6L11 0L18 6L11 12Z" })], "changed value"),
    key([svg("rect", { class: "range", x: 0, y: 0, width: 22, height: 12 })], pack.asCharted ? "where nearly all values of the training stays lie" : "limits: the model sees nothing beyond"));
}

/* A hundred squares, shared out by the largest remainders so that they are a hundred. */
function drawShares(shares, width) {
  const exact = shares.map(([, share]) => share * SQUARES);
  const squares = exact.map(Math.floor);
  const order = exact.map((value, index) => [value - squares[index], index]).sort((a, b) => b[0] - a[0] || a[1] - b[1]);
  for (let left = SQUARES - squares.reduce((sum, value) => sum + value, 0), at = 0; left > 0; left -= 1, at += 1) squares[order[at % order.length][1]] += 1;
  const columns = width < 420 ? 10 : 20;
  const size = Math.min(width / columns, 30);
  const rows = SQUARES / columns;
  const node = svg("svg", { viewBox: `0 0 ${columns * size} ${rows * size}`, width: columns * size, height: rows * size, "aria-hidden": "true" });
  const kinds = squares.flatMap((count, index) => Array.from({ length: count }, () => index));
  kinds.forEach((kind, place) => {
    node.append(svg("rect", { class: shareClass(kind, shares), x: (place % columns) * size + 1.5, y: Math.floor(place / columns) * size + 1.5, width: size - 3, height: size - 3, rx: 3 }));
  });
  const legend = html("ul", { class: "key shares", "aria-hidden": "true" }, ...shares.map(([name, share], index) => html("li", {},
    svg("svg", { viewBox: "0 0 14 14", width: 14, height: 14 }, svg("rect", { class: shareClass(index, shares), width: 14, height: 14, rx: 3 })),
    html("span", {}, name), html("strong", {}, `${(100 * share).toFixed(1)} %`))));
  return [node, legend];
}

const shareClass = (index, shares) => (shares[index][0].startsWith("not ") ? "h-none" : `h${Math.min(index, 4)}`);
