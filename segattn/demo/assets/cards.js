// Which map of a network is shown is a matter of the page alone: all of them are there.
const chosen = {};

function apply() {
  element.querySelectorAll(".card").forEach((card) => {
    const select = card.querySelector("select"), name = chosen[card.dataset.network];
    if (!select || !name || ![...select.options].some((option) => option.value === name)) return;
    select.value = name;
    card.querySelectorAll("[data-map]").forEach((layer) => { layer.hidden = layer.dataset.map !== name; });
  });
}

element.addEventListener("change", (event) => {
  if (!event.target.matches("select")) return;
  chosen[event.target.closest(".card").dataset.network] = event.target.value;
  apply();
});
watch("value", apply);
