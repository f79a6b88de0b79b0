function chosenSpec(figure) {
  const { variants, ...base } = figure;
  if (!variants) return base;
  const key = figure.switches.map((name) => {
    const control = document.getElementById(figure.controls).querySelector(`[data-switch="${name}"]`);
    return control.tagName === "SELECT" ? control.value : control.querySelector("input:checked").value;
  }).join("|");
  return { ...base, ...variants[key] };
}

class ChartView {
  constructor(box, figure) {
    this.box = box;
    this.figure = figure;
    this.plot = box.querySelector(".plot");
    this.title = box.querySelector(".name").textContent;
    this.state = { hidden: new Set(), zoom: null, sorted: false };
    this.at = null;
    this.said = html("p", { class: "visually-hidden", "aria-live": "polite" });
    this.legend = html("ul", { class: "legend", "aria-label": `Series of ${this.title}` });
    this.tools = html("div", { class: "tools" });
    this.plot.before(this.legend);
    const foot = html("div", { class: "foot" }, this.tools, saveButtons(this.title, figure.id, () => this.sheet(), () => dataOf(chosenSpec(figure))));
    this.plot.after(this.said, foot);
    this.plot.tabIndex = 0;
    this.plot.setAttribute("role", "application");
    this.plot.setAttribute("aria-roledescription", "chart");
    for (const control of document.getElementById(figure.controls).querySelectorAll("[data-switch]")) {
      control.addEventListener("change", () => { this.state.zoom = null; this.state.hidden.clear(); this.at = null; this.draw(); this.refreshData(); });
    }
    this.listen();
    this.offerData();
    this.draw();
    let width = 0;
    new ResizeObserver(() => {
      if (Math.abs(this.plot.clientWidth - width) > 1) { width = this.plot.clientWidth; this.draw(); }
    }).observe(this.plot);
  }

  draw() {
    const width = Math.max(240, this.plot.clientWidth || 600);
    this.spec = chosenSpec(this.figure);
    this.drawn = DRAWINGS[this.spec.kind](this.spec, this.state, width);
    this.plot.replaceChildren(this.drawn.node);
    this.plot.dataset.drawn = String(this.drawn.targets.reduce((sum, group) => sum + group.length, 0));
    const keys = this.drawn.zoomable ? "Arrow keys read the values, plus and minus zoom, 0 shows everything." : "Arrow keys read the values.";
    this.plot.setAttribute("aria-label", `${this.title}. ${keys} A data table follows.`);
    this.drawLegend();
    this.drawTools();
  }

  /* The chart as it stands, with the series that are shown, to be saved. */
  sheet() {
    const shown = [...this.legend.querySelectorAll('button[aria-pressed="true"]')];
    return sheetOf({
      title: this.title,
      charts: [{ node: this.drawn.node }],
      legend: shown.map((button) => ({ node: button.querySelector("svg"), name: button.textContent })),
      basis: this.box.querySelector(".basis")?.textContent ?? "",
    });
  }

  drawLegend() {
    const series = this.spec.series ?? [];
    this.legend.hidden = series.length < 2;
    if (this.legend.hidden) { this.legend.replaceChildren(); return; }
    this.legend.replaceChildren(...series.map((item, index) => {
      const sample = svg("svg", { viewBox: "0 0 26 10", "aria-hidden": "true" },
        this.spec.kind === "lines" && item.marks !== "only"
          ? svg("path", { class: `c${index % 6} ${item.dash ? `d${item.dash}` : ""}`, "stroke-width": 2.5, d: "M0 5H26" })
          : svg("rect", { class: `f${index % 6}`, x: 7, y: 0, width: 10, height: 10, rx: 2 }));
      const button = html("button", { type: "button", "aria-pressed": String(!this.state.hidden.has(item.name)) }, sample, item.name);
      button.addEventListener("click", () => {
        const hidden = this.state.hidden;
        if (hidden.has(item.name)) hidden.delete(item.name); else if (hidden.size < series.length - 1) hidden.add(item.name);
        this.draw();
        this.legend.querySelectorAll("button")[index].focus();
      });
      return html("li", {}, button);
    }));
  }

  drawTools() {
    const held = this.tools.contains(document.activeElement) ? document.activeElement.textContent : null;
    const tools = [];
    if (this.spec.kind === "heat" || this.spec.sortable) {
      const sort = html("button", { type: "button", class: "plain", "aria-pressed": String(this.state.sorted) }, this.state.sorted ? "Study order" : "Sort by size");
      sort.addEventListener("click", () => { this.state.sorted = !this.state.sorted; this.at = null; this.draw(); this.tools.querySelector("button").focus(); });
      tools.push(sort);
    }
    if (this.state.zoom) {
      const reset = html("button", { type: "button", class: "plain" }, "Show everything");
      reset.addEventListener("click", () => { this.state.zoom = null; this.draw(); this.plot.focus(); });
      tools.push(reset);
    }
    this.tools.replaceChildren(...tools);
    if (held) [...this.tools.children].find((node) => node.textContent === held)?.focus();
  }

  listen() {
    const place = (event) => {
      const box = this.plot.getBoundingClientRect();
      const scale = this.drawn.node.viewBox.baseVal.width / box.width;
      return { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale };
    };
    this.plot.addEventListener("pointerdown", (event) => {
      if (this.drawn.zoomable && event.pointerType === "mouse" && event.button === 0) this.drag = place(event);
    });
    this.plot.addEventListener("pointermove", (event) => {
      const here = place(event);
      if (this.drag) { this.drawSelection(here); return; }
      const found = this.nearest(here);
      if (found) this.point(found, event.clientX, event.clientY); else { hideTip(); this.mark(null); }
    });
    this.plot.addEventListener("pointerup", (event) => { if (this.drag) this.endSelection(place(event)); });
    this.plot.addEventListener("pointerleave", () => { hideTip(); this.mark(null); if (this.drag) { this.drag = null; this.draw(); } });
    this.plot.addEventListener("dblclick", () => { if (this.state.zoom) { this.state.zoom = null; this.draw(); } });
    this.plot.addEventListener("keydown", (event) => this.key(event));
    this.plot.addEventListener("blur", () => { hideTip(); this.mark(null); });
  }

  nearest({ x, y }) {
    const square = this.drawn.square;
    let best = null;
    let least = 45 * 45;
    this.drawn.targets.forEach((group, g) => group.forEach((target, i) => {
      const [dx, dy] = [target.x - x, target.y - y];
      if (square && (Math.abs(dx) > square.width / 2 + 0.5 || Math.abs(dy) > square.height / 2 + 0.5)) return;
      const distance = dx * dx + dy * dy;
      if (distance < least) { least = distance; best = [g, i]; }
    }));
    return best;
  }

  target() { return this.at && this.drawn.targets[this.at[0]]?.[this.at[1]]; }

  mark(at) {
    this.drawn.node.querySelector(".cursor")?.remove();
    if (!at) return;
    const target = this.drawn.targets[at[0]]?.[at[1]];
    if (!target) return;
    const square = this.drawn.square;
    this.drawn.node.append(square
      ? svg("rect", { class: "cursor", x: target.x - square.width / 2, y: target.y - square.height / 2, width: square.width, height: square.height })
      : svg("circle", { class: "cursor", cx: target.x, cy: target.y, r: 7 }));
  }

  point(at, clientX, clientY) {
    this.at = at;
    this.mark(at);
    showTip(this.target().text, clientX, clientY);
  }

  key(event) {
    const groups = this.drawn.targets;
    if (!groups.length) return;
    const moves = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
    if (moves[event.key]) {
      let [dg, di] = moves[event.key];
      if (this.drawn.vertical) [dg, di] = [di, dg];
      if (!this.target()) this.at = [0, 0];
      else {
        const g = Math.min(Math.max(this.at[0] + dg, 0), groups.length - 1);
        this.at = [g, Math.min(Math.max(this.at[1] + di, 0), groups[g].length - 1)];
      }
    } else if (event.key === "Home" || event.key === "End") {
      const g = this.at?.[0] ?? 0;
      this.at = [g, event.key === "Home" ? 0 : groups[g].length - 1];
    } else if ((event.key === "+" || event.key === "=" || event.key === "-") && this.drawn.zoomable) {
      this.zoomBy(event.key === "-" ? 2 : 0.5);
    } else if (event.key === "0" || event.key === "Escape") {
      this.state.zoom = null;
      hideTip();
      this.draw();
    } else return;
    event.preventDefault();
    if (event.key === "Escape") return;
    const target = this.target();
    if (!target) return;
    this.mark(this.at);
    const box = this.plot.getBoundingClientRect();
    showTip(target.text, box.left + target.x, box.top + target.y);
    this.said.textContent = target.text.replaceAll("\n", ", ");
  }

  zoomBy(factor) {
    const { area, px, py } = this.drawn;
    const target = this.target() ?? { x: (area.left + area.right) / 2, y: (area.top + area.bottom) / 2 };
    const around = (scale, middle, low, high) => [scale.invert(middle + (low - middle) * factor), scale.invert(middle + (high - middle) * factor)];
    this.state.zoom = { x: around(px, target.x, area.left, area.right), y: around(py, target.y, area.bottom, area.top) };
    this.draw();
  }

  drawSelection(here) {
    hideTip();
    this.drawn.node.querySelector(".zoom")?.remove();
    const { area } = this.drawn;
    const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
    const [x0, x1] = [this.drag.x, here.x].map((x) => clamp(x, area.left, area.right)).sort((a, b) => a - b);
    const [y0, y1] = [this.drag.y, here.y].map((y) => clamp(y, area.top, area.bottom)).sort((a, b) => a - b);
    this.selection = [x0, x1, y0, y1];
    this.drawn.node.append(svg("rect", { class: "zoom", x: x0, width: x1 - x0, y: y0, height: y1 - y0 }));
  }

  endSelection() {
    const chosen = this.selection;
    this.drag = null;
    this.selection = null;
    const { px, py } = this.drawn;
    if (chosen && chosen[1] - chosen[0] > 8 && chosen[3] - chosen[2] > 8) {
      this.state.zoom = { x: [px.invert(chosen[0]), px.invert(chosen[1])], y: [py.invert(chosen[3]), py.invert(chosen[2])] };
    }
    this.draw();
  }

  offerData() {
    this.details = this.box.querySelector("details.data");
    if (!this.details) return;
    this.details.addEventListener("toggle", () => this.refreshData());
  }

  refreshData() {
    if (!this.details?.open) return;
    const data = dataOf(chosenSpec(this.figure));
    const scroll = html("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `Data of ${this.title}` }, buildTable(data, this.title));
    this.details.querySelector(".holder").replaceChildren(scroll);
    markScroll(scroll);
  }
}
