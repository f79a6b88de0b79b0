const data = JSON.parse(document.getElementById("report-data").textContent);
document.body.append(tip);

for (const table of document.querySelectorAll("table.sortable")) makeSortable(table);
for (const box of document.querySelectorAll(".tablebox")) makeFilter(box);
for (const box of document.querySelectorAll(".scroll")) markScroll(box);

/* Figures of chapters that are not shown, and of what is folded away, are drawn when they are. */
const waiting = new Map([
  ...data.figures.map((figure) => [figure.id, (box) => new ChartView(box, figure)]),
  ...data.explorers.map(({ id, pack }) => [id, (box) => new Explorer(box, pack)]),
  ...data.pictures.map((picture) => [picture.id, (box) => new Picture(box, picture)]),
]);
function drawShown() {
  for (const [id, draw] of waiting) {
    const box = document.getElementById(id);
    if (box.closest(".chapter[hidden], details.folded:not([open])")) continue;
    waiting.delete(id);
    draw(box);
  }
}

for (const fold of document.querySelectorAll("details.folded")) fold.addEventListener("toggle", drawShown);

/* Of the chapters of a group one is shown: the chosen one, or the one that a link leads into. Groups of the same kind
   show the same choice, where they have it. */
function showChapter(chapter) {
  const choice = chapter.parentElement.querySelector("[data-chapters]");
  const name = chapter.id.slice(chapter.parentElement.id.length);
  for (const other of document.querySelectorAll(`[data-chapters="${choice.dataset.chapters}"]`)) {
    const group = other.closest(".group");
    const own = document.getElementById(`${group.id}${name}`);
    if (!own) continue;
    for (const each of group.querySelectorAll(":scope > .chapter")) each.hidden = each !== own;
    other.value = own.id;
  }
  drawShown();
}
for (const choice of document.querySelectorAll("[data-chapters]")) {
  choice.addEventListener("change", () => {
    const before = choice.getBoundingClientRect().top;
    showChapter(document.getElementById(choice.value));
    window.scrollBy({ top: choice.getBoundingClientRect().top - before, behavior: "instant" });
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
  const folds = [];
  for (let fold = target?.closest("details.folded:not([open])"); fold; fold = fold.parentElement.closest("details.folded:not([open])")) folds.push(fold);
  if (!chapter?.hidden && !folds.length) return;
  for (const fold of folds) fold.open = true;
  if (chapter?.hidden) showChapter(chapter);
  drawShown();
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

/* On a narrow page the list of sections opens on demand; what is in sight stands beside the button. */
const navSwitch = document.getElementById("nav-switch");
const navList = document.getElementById("nav-list");
function openNav(open) {
  navSwitch.setAttribute("aria-expanded", String(open));
  navList.dataset.open = String(open);
}
navSwitch.hidden = false;
openNav(false);
document.documentElement.dataset.scripted = "true";
navSwitch.addEventListener("click", () => openNav(navSwitch.getAttribute("aria-expanded") !== "true"));
navList.addEventListener("click", (event) => { if (event.target.closest("a")) openNav(false); });
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || navSwitch.getAttribute("aria-expanded") !== "true") return;
  openNav(false);
  navSwitch.focus();
});

const links = new Map([...document.querySelectorAll(".bar nav a")].map((link) => [link.hash.slice(1), link]));
const here = document.getElementById("nav-here");
const inSight = new Set();
const watcher = new IntersectionObserver((entries) => {
  for (const seen of entries) (seen.isIntersecting ? inSight.add(seen.target.id) : inSight.delete(seen.target.id));
  const first = [...links.keys()].find((id) => inSight.has(id));
  if (!first) return;
  here.textContent = links.get(first).textContent;
  for (const [id, link] of links) {
    if (id === first) link.setAttribute("aria-current", "true"); else link.removeAttribute("aria-current");
  }
}, { rootMargin: "-15% 0px -70% 0px" });
for (const id of links.keys()) watcher.observe(document.getElementById(id));
document.documentElement.dataset.ready = "true";
