const data = JSON.parse(document.getElementById("report-data").textContent);
document.body.append(tip);

for (const table of document.querySelectorAll("table.sortable")) makeSortable(table);
for (const box of document.querySelectorAll(".tablebox")) makeFilter(box);
for (const box of document.querySelectorAll(".scroll")) markScroll(box);

/* Figures of chapters that are not shown are drawn when they are. */
const waiting = new Map([
  ...data.figures.map((figure) => [figure.id, (box) => new ChartView(box, figure)]),
  ...data.explorers.map(({ id, pack }) => [id, (box) => new Explorer(box, pack)]),
]);
function drawShown() {
  for (const [id, draw] of waiting) {
    const box = document.getElementById(id);
    if (box.closest(".chapter[hidden]")) continue;
    waiting.delete(id);
    draw(box);
  }
}

/* Of the chapters of a group one is shown: the chosen one, or the one that a link leads into. */
function showChapter(chapter) {
  for (const other of chapter.parentElement.querySelectorAll(":scope > .chapter")) other.hidden = other !== chapter;
  chapter.parentElement.querySelector("[data-chapters]").value = chapter.id;
  drawShown();
}
for (const choice of document.querySelectorAll("[data-chapters]")) {
  choice.addEventListener("change", () => {
    showChapter(document.getElementById(choice.value));
    window.history.replaceState(null, "", `#${choice.value}`);
  });
}
for (const choice of document.querySelectorAll("[data-chapters]")) {
  for (const chapter of choice.closest(".group").querySelectorAll(":scope > .chapter")) chapter.hidden = chapter.id !== choice.value;
}
drawShown();
function followHash() {
  const target = document.getElementById(decodeURIComponent(window.location.hash.slice(1)));
  const chapter = target?.closest(".chapter");
  if (!chapter?.hidden) return;
  showChapter(chapter);
  target.scrollIntoView();
}
window.addEventListener("hashchange", followHash);
/* A link to the place that the address names already changes no hash, but its chapter may be hidden by now. */
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='#']");
  if (link && link.hash === window.location.hash) followHash();
});
followHash();

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
