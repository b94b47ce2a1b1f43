// Which map of a network is shown is a matter of the page alone: all of them are there.
const chosen = {};
let wrongOnly = false;

function apply() {
  element.querySelectorAll(".card").forEach((card) => {
    const select = card.querySelector("select"), name = chosen[card.dataset.network];
    if (!select || !name || ![...select.options].some((option) => option.value === name)) return;
    select.value = name;
    card.querySelectorAll("[data-map]").forEach((layer) => { layer.hidden = layer.dataset.map !== name; });
  });
  element.querySelector(".results")?.classList.toggle("wrong-only", wrongOnly);
  element.querySelector(".errors")?.setAttribute("aria-pressed", String(wrongOnly));
}

// One dialog for what is enlarged: a frame, or all maps of a network side by side. Escape closes it.
function enlarge(title, figures) {
  const dialog = document.createElement("dialog"), results = element.querySelector(".results");
  dialog.className = `${results.className} large`;
  dialog.style.cssText = results.style.cssText;
  dialog.setAttribute("aria-label", title);
  const heading = document.createElement("h3"), close = document.createElement("button"), grid = document.createElement("div");
  heading.textContent = title;
  close.type = "button"; close.textContent = "close"; close.autofocus = true;
  grid.className = figures.length > 1 ? "many" : "one";
  grid.append(...figures);
  dialog.append(close, heading, grid);
  dialog.addEventListener("click", (event) => { if (event.target === dialog || event.target === close) dialog.close(); });
  dialog.addEventListener("close", () => dialog.remove());
  document.querySelector(".gradio-container").append(dialog);
  dialog.showModal();
}

function copied(figure, map) {
  const copy = figure.cloneNode(true);
  if (map) copy.querySelectorAll("[data-map]").forEach((layer) => { layer.hidden = layer.dataset.map !== map; });
  copy.querySelectorAll(".frame").forEach((frame) => { frame.removeAttribute("role"); frame.removeAttribute("tabindex"); });
  if (map) {
    const named = document.createElement("b");
    named.textContent = map.replaceAll("_", " ");
    copy.querySelector("figcaption").prepend(named);
  }
  return copy;
}

function open(target) {
  const card = target.closest(".card, .known"), name = card.dataset.network ?? "label";
  if (target.matches(".all")) {
    const maps = [...card.querySelector("select").options].map((option) => option.value);
    const figures = [...card.querySelectorAll("figure:has(.map)")];
    enlarge(`${name}: all maps`, maps.flatMap((map) => figures.map((figure) => copied(figure, map))));
  } else enlarge(name, [copied(target.closest("figure"), null)]);
}

element.addEventListener("change", (event) => {
  if (!event.target.matches("select")) return;
  chosen[event.target.closest(".card").dataset.network] = event.target.value;
  apply();
});
element.addEventListener("click", (event) => {
  const target = event.target.closest(".frame, .all, .errors");
  if (!target) return;
  if (target.matches(".errors")) { wrongOnly = !wrongOnly; apply(); } else open(target);
});
element.addEventListener("keydown", (event) => {
  if (!["Enter", " "].includes(event.key) || !event.target.matches(".frame")) return;
  event.preventDefault();
  open(event.target);
});
watch("value", apply);
