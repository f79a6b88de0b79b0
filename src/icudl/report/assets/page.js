const data = JSON.parse(document.getElementById("report-data").textContent);
document.body.append(tip);

for (const table of document.querySelectorAll("table.sortable")) makeSortable(table);
for (const box of document.querySelectorAll(".tablebox")) makeFilter(box);

const views = data.figures.map((figure) => new ChartView(document.getElementById(figure.id), figure));
const explorerBox = document.getElementById("stay-explorer");
const explorer = explorerBox && data.explorer ? new Explorer(explorerBox, data.explorer) : null;

const themeButton = document.getElementById("theme-switch");
function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  themeButton.textContent = theme === "dark" ? "Light page" : "Dark page";
}
setTheme(document.documentElement.dataset.theme || "light");
themeButton.hidden = false;
themeButton.addEventListener("click", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
let screenTheme = null;
window.addEventListener("beforeprint", () => { screenTheme = document.documentElement.dataset.theme; setTheme("light"); });
window.addEventListener("afterprint", () => { if (screenTheme) setTheme(screenTheme); });

const links = new Map([...document.querySelectorAll(".bar nav a")].map((link) => [link.hash.slice(1), link]));
const inSight = new Set();
const watcher = new IntersectionObserver((entries) => {
  for (const seen of entries) (seen.isIntersecting ? inSight.add(seen.target.id) : inSight.delete(seen.target.id));
  const first = [...links.keys()].find((id) => inSight.has(id));
  for (const [id, link] of links) {
    if (id === first) link.setAttribute("aria-current", "true"); else link.removeAttribute("aria-current");
  }
}, { rootMargin: "-15% 0px -70% 0px" });
for (const id of links.keys()) watcher.observe(document.getElementById(id));
document.documentElement.dataset.ready = "true";
