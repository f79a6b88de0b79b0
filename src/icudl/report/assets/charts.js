/* Every drawing takes (spec, state, width) and gives { node, targets, area, zoomable }: targets[group][item] holds the
   place and the words of one value, so that pointer, keyboard and screen reader read the same thing. */

const HEIGHT = { half: 320, full: 360, small: 215 };

function axisTitle(axis) {
  return axis.unit ? `${axis.label} (${axis.unit})` : axis.label;
}

/* The name of a horizontal axis, in the middle; one that is wider than its axis ends where the axis ends. */
function labelBelow(area, y, text) {
  const wide = text.length * 6.4 > area.right - area.left;
  return svg("text", { class: "label", x: wide ? area.right : (area.left + area.right) / 2, y, "text-anchor": wide ? "end" : "middle" }, text);
}

function frame(spec, state, width, domains, heightWanted) {
  const small = spec.size === "small";
  const height = heightWanted;
  const [xDomain, yDomain] = [state.zoom?.x ?? domains.x, state.zoom?.y ?? domains.y];
  const yProbe = makeScale(spec.y, yDomain, 1, 0);
  const yTicks = yProbe.ticks(small ? 3 : 5);
  const widest = Math.max(...yTicks.map((value) => formatOn(spec.y, value).length), 1);
  const area = { left: 14 + widest * 7 + (small ? 4 : 20), right: width - 14, top: small ? 8 : 12, bottom: height - (small ? 40 : 46) };
  const px = makeScale(spec.x, xDomain, area.left, area.right);
  const py = makeScale(spec.y, yDomain, area.bottom, area.top);
  const node = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true", focusable: "false" });
  for (const value of yTicks) {
    node.append(
      svg("line", { class: "gridline", x1: area.left, x2: area.right, y1: py(value), y2: py(value) }),
      svg("text", { x: area.left - 7, y: py(value) + 4, "text-anchor": "end" }, formatOn(spec.y, value)),
    );
  }
  let lastEnd = -Infinity;
  for (const value of px.ticks(Math.max(small ? 2 : 4, Math.floor((area.right - area.left) / (small ? 60 : 80))))) {
    const label = formatOn(spec.x, value);
    const half = label.length * 3.5;
    node.append(svg("line", { class: "axis", x1: px(value), x2: px(value), y1: area.bottom, y2: area.bottom + 4 }));
    if (px(value) - half < lastEnd + 6) continue;
    lastEnd = px(value) + half;
    node.append(svg("text", { x: px(value), y: area.bottom + 17, "text-anchor": "middle" }, label));
  }
  node.append(
    svg("line", { class: "axis", x1: area.left, x2: area.right, y1: area.bottom, y2: area.bottom }),
    labelBelow(area, height - 5, axisTitle(spec.x)),
  );
  if (!small) {
    const middle = (area.top + area.bottom) / 2;
    node.append(svg("text", { class: "label", x: 12, y: middle, "text-anchor": "middle", transform: `rotate(-90 12 ${middle})` }, axisTitle(spec.y)));
  }
  const clip = `clip-${spec.id}`;
  node.append(svg("clipPath", { id: clip }, svg("rect", { x: area.left - 5, y: area.top - 5, width: area.right - area.left + 10, height: area.bottom - area.top + 10 })));
  const layer = svg("g", { "clip-path": `url(#${clip})` });
  node.append(layer);
  return { node, layer, area, px, py };
}

function pathOf(series, px, py) {
  let path = "";
  let pen = "M";
  let last = null;
  series.x.forEach((x, index) => {
    const y = series.y[index];
    if (x === null || y === null) { pen = "M"; return; }
    const at = [px(x).toFixed(1), py(y).toFixed(1)];
    if (series.step && pen === "L") path += `L${at[0]} ${last}`;
    path += `${pen}${at[0]} ${at[1]}`;
    pen = "L";
    last = at[1];
  });
  return path;
}

function bandOf(series, px, py) {
  const there = series.x.map((x, index) => [x, series.low[index], series.high[index]]).filter((item) => item.every((value) => value !== null));
  if (!there.length) return "";
  const forward = there.map(([x, , high]) => `${px(x).toFixed(1)} ${py(high).toFixed(1)}`);
  const back = there.map(([x, low]) => `${px(x).toFixed(1)} ${py(low).toFixed(1)}`).reverse();
  return `M${forward.concat(back).join("L")}Z`;
}

function describePoint(spec, series, index) {
  const head = series.labels ? series.labels[index] : series.name;
  const between = series.low && series.low[index] !== null
    ? ` (95 % interval ${formatOn(spec.y, series.low[index])} to ${formatOn(spec.y, series.high[index])})` : "";
  return `${head}\n${spec.x.label}: ${formatOn(spec.x, series.x[index])}\n${spec.y.label}: ${formatOn(spec.y, series.y[index])}${between}`;
}

function drawLines(spec, state, width) {
  const shown = spec.series.map((series, index) => ({ ...series, index })).filter((series) => !state.hidden.has(series.name));
  const domains = {
    x: domainOf(spec.x, shown.flatMap((series) => series.x)),
    y: domainOf(spec.y, shown.flatMap((series) => series.y.concat(series.low ?? [], series.high ?? []))),
  };
  const { node, layer, area, px, py } = frame(spec, state, width, domains, HEIGHT[spec.size] ?? 320);
  if (spec.diagonal) layer.append(svg("line", { class: "reference", x1: px(0), y1: py(0), x2: px(1), y2: py(1) }));
  for (const rule of spec.rules ?? []) {
    if (rule.x !== undefined) {
      layer.append(svg("line", { class: "reference", x1: px(rule.x), x2: px(rule.x), y1: area.top, y2: area.bottom }));
      layer.append(svg("text", { x: px(rule.x) + 5, y: area.top + 11 }, rule.label));
    } else {
      layer.append(svg("line", { class: "reference", x1: area.left, x2: area.right, y1: py(rule.y), y2: py(rule.y) }));
      layer.append(svg("text", { x: area.right - 4, y: py(rule.y) - 5, "text-anchor": "end" }, rule.label));
    }
  }
  const targets = [];
  for (const series of shown) {
    const color = series.index % 6;
    if (series.low) layer.append(svg("path", { class: `band f${color}`, d: bandOf(series, px, py) }));
    if (series.marks !== "only") layer.append(svg("path", { class: `curve c${color} ${series.dash ? `d${series.dash}` : ""}`, d: pathOf(series, px, py) }));
    const group = [];
    series.x.forEach((x, index) => {
      const y = series.y[index];
      if (x === null || y === null) return;
      const at = { x: px(x), y: py(y), text: describePoint(spec, series, index) };
      if (series.marks) layer.append(svg("circle", { class: `mark f${color}`, cx: at.x, cy: at.y, r: series.big?.[index] ? 6.5 : 4 }));
      if (at.x >= area.left - 1 && at.x <= area.right + 1 && at.y >= area.top - 1 && at.y <= area.bottom + 1) group.push(at);
    });
    if (spec.named && series.labels) placeLabels(layer, group, series, px, py, area);
    if (group.length) targets.push(group);
  }
  if (!targets.length) node.append(svg("text", { class: "empty", x: (area.left + area.right) / 2, y: (area.top + area.bottom) / 2, "text-anchor": "middle" }, "Nothing to draw"));
  return { node, targets, area, px, py, zoomable: true };
}

/* Names beside points, left out where they would run into one already written. */
function placeLabels(layer, group, series, px, py, area) {
  const taken = group.map((point) => [point.x - 5, point.y - 5, point.x + 5, point.y + 5]);
  series.labels.forEach((label, index) => {
    if (series.x[index] === null || series.y[index] === null) return;
    const [x, y] = [px(series.x[index]), py(series.y[index])];
    const length = label.length * 6.4;
    const beside = [[x + 8, y], [x - 8 - length, y], [x - length / 2, y - 14], [x - length / 2, y + 14]];
    const boxes = beside.map(([left, middle]) => [left, middle - 7, left + length, middle + 7]);
    const free = (box) => box[0] >= area.left && box[2] <= area.right
      && !taken.some((other) => box[0] < other[2] && box[2] > other[0] && box[1] < other[3] && box[3] > other[1]);
    const box = boxes.find(free);
    if (!box) return;
    taken.push(box);
    layer.append(svg("text", { x: box[0], y: box[3] - 3 }, label));
  });
}

function drawBars(spec, state, width) {
  const shown = spec.series.map((series, index) => ({ ...series, index })).filter((series) => !state.hidden.has(series.name));
  const domains = {
    x: [spec.edges[0], spec.edges[spec.edges.length - 1]],
    y: domainOf({ ...spec.y, min: 0 }, shown.flatMap((series) => series.y).concat([1e-9])),
  };
  const { node, layer, area, px, py } = frame(spec, state, width, domains, HEIGHT[spec.size] ?? 320);
  const targets = [];
  shown.forEach((series, order) => {
    const group = [];
    series.y.forEach((value, bin) => {
      const [from, to] = [px(spec.edges[bin]), px(spec.edges[bin + 1])];
      const gap = Math.min(1, (to - from) * 0.1);
      const each = (to - from - 2 * gap) / shown.length;
      const x = from + gap + order * each;
      if (value > 0) layer.append(svg("rect", { class: `f${series.index % 6}`, x: x.toFixed(2), width: Math.max(each, 0.6).toFixed(2), y: py(value).toFixed(2), height: Math.max(area.bottom - py(value), 0.8).toFixed(2) }));
      const range = spec.whole && spec.edges[bin + 1] - spec.edges[bin] === 1
        ? formatNumber(Math.ceil(spec.edges[bin]))
        : `${formatOn(spec.x, spec.edges[bin])} to ${formatOn(spec.x, spec.edges[bin + 1])}`;
      group.push({ x: x + each / 2, y: py(value), text: `${series.name}\n${spec.x.label}: ${range}\n${spec.y.label}: ${formatOn(spec.y, value)}` });
    });
    if (group.length) targets.push(group);
  });
  if (!shown.some((series) => series.y.some((value) => value > 0))) {
    node.append(svg("text", { class: "empty", x: (area.left + area.right) / 2, y: (area.top + area.bottom) / 2, "text-anchor": "middle" }, "No example"));
  }
  return { node, targets, area, px, py, zoomable: true };
}

function clipLabel(text, most) {
  return text.length <= most ? text : `${text.slice(0, Math.max(1, most - 1))}…`;
}

function drawDots(spec, state, width) {
  const shown = spec.series.map((series, index) => ({ ...series, index })).filter((series) => !state.hidden.has(series.name));
  const order = spec.rows.map((_, index) => index);
  if (state.sorted && shown.length) order.sort((a, b) => (shown[0].x[b] ?? -Infinity) - (shown[0].x[a] ?? -Infinity));
  const rowHeight = shown.length > 2 ? 10 + 12 * shown.length : 26;
  const height = 16 + rowHeight * order.length + 44;
  const most = Math.floor((width * 0.42) / 6.7);
  const longest = Math.min(most, Math.max(...spec.rows.map((label) => label.length), 4));
  const area = { left: longest * 6.7 + 14, right: width - 20, top: 8, bottom: 12 + rowHeight * order.length };
  const domain = state.zoom?.x ?? domainOf(spec.bars ? { ...spec.x, min: spec.x.min ?? 0 } : spec.x, shown.flatMap((series) => series.x.concat(series.low ?? [], series.high ?? [])));
  const px = makeScale(spec.x, domain, area.left, area.right);
  const node = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true", focusable: "false" });
  let lastEnd = -Infinity;
  for (const value of px.ticks(Math.max(4, Math.floor((area.right - area.left) / 75)))) {
    const label = formatOn(spec.x, value);
    node.append(svg("line", { class: "gridline", x1: px(value), x2: px(value), y1: area.top, y2: area.bottom }));
    if (px(value) - label.length * 3.5 < lastEnd + 6) continue;
    lastEnd = px(value) + label.length * 3.5;
    node.append(svg("text", { x: px(value), y: area.bottom + 16, "text-anchor": "middle" }, label));
  }
  if (spec.x.reference !== undefined) node.append(svg("line", { class: "reference", x1: px(spec.x.reference), x2: px(spec.x.reference), y1: area.top, y2: area.bottom }));
  node.append(labelBelow(area, height - 6, axisTitle(spec.x)));
  const targets = shown.map(() => []);
  order.forEach((item, place) => {
    const middle = area.top + 4 + rowHeight * (place + 0.5);
    node.append(svg("text", { class: "label", x: area.left - 8, y: middle + 4, "text-anchor": "end" }, clipLabel(spec.rows[item], most)));
    shown.forEach((series, track) => {
      const value = series.x[item];
      if (value === null || value === undefined) return;
      const color = series.index % 6;
      const y = shown.length > 1 ? middle + (track - (shown.length - 1) / 2) * (shown.length > 2 ? 12 : 9) : middle;
      const at = { x: px(value), y };
      if (spec.bars) {
        const thick = shown.length > 1 ? 8 : 15;
        node.append(svg("rect", { class: `f${color}`, x: px(Math.max(domain[0], 0)), width: Math.max(0.5, at.x - px(Math.max(domain[0], 0))), y: y - thick / 2, height: thick, rx: 1.5 }));
      }
      const low = series.low?.[item];
      const high = series.high?.[item];
      let between = "";
      if (low !== null && low !== undefined && high !== null && high !== undefined) {
        node.append(svg("line", { class: spec.bars ? "axis" : `whisker c${color}`, x1: px(low), x2: px(high), y1: y, y2: y }));
        between = `\n95 % interval: ${formatOn(spec.x, low)} to ${formatOn(spec.x, high)}`;
      }
      if (!spec.bars) node.append(svg("circle", { class: `mark f${color}`, cx: at.x, cy: y, r: 5 }));
      const detail = series.notes ? `\n${series.notes[item]}` : "";
      targets[track].push({ ...at, text: `${spec.rows[item]}${spec.series.length > 1 ? ` · ${series.name}` : ""}\n${spec.x.label}: ${formatOn(spec.x, value)}${between}${detail}` });
    });
  });
  return { node, targets: targets.filter((group) => group.length), area, px, vertical: true };
}

function colourRange(values) {
  const positive = values.filter((value) => value !== null && value > 0).sort((a, b) => a - b);
  if (!positive.length) return { top: 1, clipped: false };
  const largest = positive[positive.length - 1];
  const most = positive[Math.floor(0.98 * (positive.length - 1))];
  return largest > 2 * most ? { top: most, clipped: true } : { top: largest, clipped: false };
}

function drawHeat(spec, state, width) {
  const columnsCount = spec.hours;
  const totals = spec.rows.map((_, row) => spec.values.slice(row * columnsCount, (row + 1) * columnsCount).reduce((sum, value) => sum + (value ?? 0), 0));
  const order = spec.rows.map((_, index) => index);
  if (state.sorted) order.sort((a, b) => totals[b] - totals[a]);
  const narrow = width < 520;
  const most = Math.floor((width * 0.34) / 6.7);
  const longest = Math.min(most, Math.max(...spec.rows.map((label) => label.length)));
  const rowHeight = narrow ? 17 : 20;
  const area = { left: longest * 6.7 + 12, right: width - 8, top: 46, bottom: 46 + rowHeight * spec.rows.length };
  const height = area.bottom + 42;
  const node = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true", focusable: "false" });
  const { top, clipped } = colourRange(spec.values);
  const bar = { left: area.left, right: Math.min(area.right - 60, area.left + 260), y: 16 };
  const steps = 64;
  for (let step = 0; step < steps; step += 1) {
    const size = (bar.right - bar.left) / steps;
    node.append(svg("rect", { x: (bar.left + step * size).toFixed(2), y: bar.y, width: (size + 0.6).toFixed(2), height: 10, fill: viridis(step / (steps - 1)) }));
  }
  node.append(
    svg("text", { class: "label", x: narrow ? 0 : bar.left, y: 10 }, spec.label),
    svg("text", { x: bar.left, y: 39, "text-anchor": "start" }, "0"),
    svg("text", { x: bar.right, y: 39, "text-anchor": "end" }, `${clipped ? "≥ " : ""}${formatOn(spec, top)}`),
    svg("rect", { x: bar.right + 14, y: bar.y, width: 10, height: 10, class: "never edge" }),
    svg("text", { x: bar.right + 29, y: bar.y + 9 }, narrow ? "none" : (spec.zero ?? "never changed")),
  );
  const cell = (area.right - area.left) / columnsCount;
  const targets = [];
  order.forEach((row, place) => {
    const y = area.top + place * rowHeight;
    node.append(svg("text", { class: "label", x: area.left - 7, y: y + rowHeight / 2 + 4, "text-anchor": "end" }, clipLabel(spec.rows[row], most)));
    const group = [];
    for (let hour = 0; hour < columnsCount; hour += 1) {
      const value = spec.values[row * columnsCount + hour];
      const x = area.left + hour * cell;
      node.append(svg("rect", { x: x.toFixed(2), y, width: Math.max(cell - 0.6, 0.6).toFixed(2), height: rowHeight - 0.8, fill: value ? viridis(value / top) : null, class: value ? null : "never" }));
      group.push({ x: x + cell / 2, y: y + rowHeight / 2, text: `${spec.rows[row]}, hour ${hour}\n${spec.label}: ${value ? formatOn(spec, value) : (spec.zero ?? "never changed")}` });
    }
    targets.push(group);
  });
  const hours = makeScale({}, [0, columnsCount], area.left, area.right);
  for (const hour of hours.ticks(narrow ? 4 : 8).filter((value) => value < columnsCount && Number.isInteger(value))) {
    node.append(svg("text", { x: area.left + (hour + 0.5) * cell, y: area.bottom + 15, "text-anchor": "middle" }, String(hour)));
  }
  node.append(svg("text", { class: "label", x: (area.left + area.right) / 2, y: height - 5, "text-anchor": "middle" }, "Hour since ICU admission"));
  return { node, targets, area, square: { width: cell, height: rowHeight } };
}

const DRAWINGS = { lines: drawLines, bars: drawBars, dots: drawDots, heat: drawHeat };
