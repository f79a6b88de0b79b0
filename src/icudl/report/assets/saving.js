/* A chart as a file: an SVG that stands alone, a PNG of it, its numbers as CSV. All of it is made inside the page. */

const PAINT = {
  fill: "rgb(0, 0, 0)", "fill-opacity": "1", stroke: "none", "stroke-width": "1px", "stroke-dasharray": "none",
  "stroke-linejoin": "miter", opacity: "1", "font-size": "", "font-weight": "400", "font-style": "normal", "paint-order": "normal",
};
const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif";
const PIXELS = 3;

/* A file is for paper, whatever the page looks like: colours are read while the page is light. */
function inLight(make) {
  const root = document.documentElement;
  const theme = root.dataset.theme;
  root.dataset.theme = "light";
  try { return make(); } finally { root.dataset.theme = theme; }
}

/* A copy of a drawing that needs no style sheet: what the page gives it is written into its attributes. */
function painted(node) {
  const copy = node.cloneNode(true);
  const copies = [copy, ...copy.querySelectorAll("*")];
  [node, ...node.querySelectorAll("*")].forEach((each, index) => {
    const style = window.getComputedStyle(each);
    for (const [name, usual] of Object.entries(PAINT)) {
      const value = style.getPropertyValue(name);
      if (value && value !== usual) copies[index].setAttribute(name, value);
    }
  });
  for (const each of copy.querySelectorAll(".cursor, .zoom")) each.remove();
  for (const each of copies) each.removeAttribute("class");
  return copy;
}

function broken(text, most) {
  const lines = [""];
  for (const word of text.split(" ")) {
    if (lines.at(-1) && lines.at(-1).length + word.length >= most) lines.push("");
    lines[lines.length - 1] += `${lines.at(-1) ? " " : ""}${word}`;
  }
  return lines;
}

/* One drawing of several: a title, the charts in columns, each under its name, the legend, and what it is based on. */
function sheetOf({ title, charts, columns = 1, legend = [], basis = "" }) {
  return inLight(() => {
    const ink = window.getComputedStyle(document.documentElement).getPropertyValue("--ink");
    const edge = 14;
    const wide = Math.max(...charts.map(({ node }) => node.viewBox.baseVal.width));
    const width = columns * (wide + edge) + edge;
    const sheet = svg("svg", { "font-family": FONT, "font-size": "12px", fill: ink });
    let y = edge;
    const write = (text, size, weight) => {
      for (const line of broken(text, (width - 2 * edge) / (0.56 * size))) {
        y += size * 1.3;
        sheet.append(svg("text", { x: edge, y, "font-size": `${size}px`, "font-weight": weight }, line));
      }
    };
    write(title, 15, 600);
    y += edge / 2;
    for (let start = 0; start < charts.length; start += columns) {
      let tall = 0;
      charts.slice(start, start + columns).forEach(({ node, name }, place) => {
        const box = node.viewBox.baseVal;
        const x = edge + place * (wide + edge);
        const below = name ? 16 : 0;
        if (name) sheet.append(svg("text", { x, y: y + 12, "font-weight": 600 }, name));
        const copy = painted(node);
        for (const [key, value] of Object.entries({ x, y: y + below, width: box.width, height: box.height, overflow: "visible" })) copy.setAttribute(key, value);
        sheet.append(copy);
        tall = Math.max(tall, below + box.height);
      });
      y += tall + edge / 2;
    }
    let x = edge;
    legend.forEach(({ node, name }) => {
      const long = 34 + name.length * 6.8;
      if (x > edge && x + long > width) { x = edge; y += 18; }
      const copy = painted(node);
      for (const [key, value] of Object.entries({ x, y: y + 2, width: 26, height: 10 })) copy.setAttribute(key, value);
      sheet.append(copy, svg("text", { x: x + 31, y: y + 11 }, name));
      x += long + 12;
    });
    if (legend.length) y += 22;
    if (basis) write(basis, 11, 400);
    const height = Math.ceil(y + edge);
    sheet.prepend(svg("title", {}, title), svg("rect", { width, height, fill: "#fff" }));
    return fill(sheet, { viewBox: `0 0 ${width} ${height}`, width, height }, []);
  });
}

function offerFile(name, blob) {
  const link = html("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

const offerSvg = (name, sheet) => offerFile(`${name}.svg`, new Blob([new XMLSerializer().serializeToString(sheet)], { type: "image/svg+xml" }));

function offerPng(name, sheet) {
  const image = new Image();
  image.addEventListener("load", () => {
    const [width, height] = ["width", "height"].map((key) => PIXELS * Number(sheet.getAttribute(key)));
    const canvas = html("canvas", { width, height });
    canvas.getContext("2d").drawImage(image, 0, 0, width, height);
    canvas.toBlob((blob) => offerFile(`${name}.png`, blob), "image/png");
  });
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(new XMLSerializer().serializeToString(sheet))}`;
}

/* The buttons of a chart. `name` begins the names of the files; `sheet` and `numbers` are asked when a button is pressed. */
function saveButtons(title, name, sheet, numbers) {
  const button = (kind, act) => {
    const node = html("button", { type: "button", class: "plain", "aria-label": `${kind}: save ${title}` }, kind);
    node.addEventListener("click", () => act(typeof name === "function" ? name() : name));
    return node;
  };
  return html("div", { class: "save" }, html("span", { "aria-hidden": "true" }, "Save"),
    button("SVG", (file) => offerSvg(file, sheet())), button("PNG", (file) => offerPng(file, sheet())),
    button("CSV", (file) => offerFile(`${file}.csv`, new Blob([csvOf(numbers())], { type: "text/csv" }))));
}
