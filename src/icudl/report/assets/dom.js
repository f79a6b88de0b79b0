const SVG_NAMESPACE = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined) node.append(child);
  }
  return node;
}

const html = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);
const svg = (name, attributes, ...children) => fill(document.createElementNS(SVG_NAMESPACE, name), attributes, children);

/* Numbers as a reader writes them: three significant digits, a thin separator for thousands. */
function formatNumber(value, digits = 3) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 10 ** (digits - 1)) return Math.round(value).toLocaleString("en-US");
  if (size < 1e-4) return value.toExponential(digits - 1);
  return String(Number(value.toPrecision(digits)));
}

const formatPercent = (value) =>
  value === null || value === undefined || !Number.isFinite(value) ? "–" : `${Number((100 * value).toPrecision(3))} %`;

/* Two risks with as many decimals as it takes to tell them apart. */
function formatRisks(before, after = before) {
  for (let digits = 1; digits < 5; digits += 1) {
    const texts = [before, after].map((value) => `${(100 * value).toFixed(digits)} %`);
    if (before === after || texts[0] !== texts[1]) return texts;
  }
  return [before, after].map((value) => `${(100 * value).toFixed(5)} %`);
}

function formatOn(axis, value) {
  if (axis && axis.words) return axis.words[value] ?? "";
  return axis && axis.percent ? formatPercent(value) : formatNumber(value);
}

const tip = html("div", { id: "tip", hidden: true, "aria-hidden": "true" });

function showTip(text, clientX, clientY) {
  tip.textContent = text;
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const left = Math.min(Math.max(8, clientX + 14), window.innerWidth - box.width - 8);
  const above = clientY - box.height - 14;
  tip.style.left = `${left}px`;
  tip.style.top = `${above > 8 ? above : clientY + 18}px`;
}

const hideTip = () => { tip.hidden = true; };
