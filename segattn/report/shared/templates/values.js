// The value of a point, line or bar appears beside the pointer, at a touch, or with the arrow keys in a focused figure.
// Without this script the browser shows the same text, which is the mark's title.
{
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  document.body.append(tip);
  for (const title of document.querySelectorAll("svg title")) {
    const mark = title.parentElement;
    mark.classList.add("value");
    mark.setAttribute("role", "img");
    mark.setAttribute("aria-label", title.textContent);
    title.remove();
  }
  const REACH = 12; // pixels from a mark
  const marksOf = (svg) => (svg.classList.contains("value") ? [svg] : [...svg.querySelectorAll(".value")]);
  // The nearest mark; of those under the pointer the smallest, so that a point goes before its panel.
  function nearest(svg, x, y) {
    let best = null;
    for (const mark of marksOf(svg)) {
      const box = mark.getBoundingClientRect();
      const away = Math.hypot(Math.max(box.left - x, 0, x - box.right), Math.max(box.top - y, 0, y - box.bottom));
      const key = [mark.dataset.curve ? 1 : 0, away, box.width * box.height];
      if (away <= REACH && (!best || compare(key, best.key) < 0)) best = { mark, key };
    }
    return best;
  }
  function compare(a, b) {
    const index = a.findIndex((value, place) => value !== b[place]);
    return index < 0 ? 0 : a[index] - b[index];
  }
  // Of a panel of curves, their values where the pointer is: data-curve is "low high|seed 0:x y x y;seed 1:x y".
  function words(mark, x) {
    const name = mark.getAttribute("aria-label");
    if (!mark.dataset.curve) return name;
    const [limits, series] = mark.dataset.curve.split("|");
    const [low, high] = limits.split(" ").map(Number);
    const box = mark.getBoundingClientRect();
    const wanted = low + ((x - box.left) / box.width) * (high - low);
    const lines = series.split(";").map((curve) => {
      const [seed, numbers] = curve.split(":");
      const values = numbers.split(" ").map(Number);
      let at = 0;
      for (let i = 2; i < values.length; i += 2) if (Math.abs(values[i] - wanted) < Math.abs(values[at] - wanted)) at = i;
      return `iteration ${values[at]}: ${values[at + 1]} (${seed})`;
    });
    return [name, ...lines].join("\n");
  }
  function show(mark, x, y) {
    tip.textContent = words(mark, x);
    tip.hidden = false;
    const wide = document.documentElement.clientWidth;
    tip.style.left = `${Math.max(4, Math.min(x + 14, wide - tip.offsetWidth - 4)) + scrollX}px`;
    const above = y - tip.offsetHeight - 12;
    tip.style.top = `${(above > 4 ? above : y + 18) + scrollY}px`;
  }
  const hide = () => (tip.hidden = true);
  for (const svg of document.querySelectorAll("figure svg, td.plot svg")) {
    if (!marksOf(svg).length) continue;
    const at = (event) => {
      const best = nearest(svg, event.clientX, event.clientY);
      best ? show(best.mark, event.clientX, event.clientY) : hide();
    };
    svg.addEventListener("pointermove", at);
    svg.addEventListener("pointerdown", at);
    svg.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hide());
    if (!svg.closest("figure")) continue;
    let index = -1;
    svg.tabIndex = 0;
    svg.addEventListener("blur", hide);
    svg.addEventListener("keydown", (event) => {
      if (event.key === "Escape") return hide();
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const marks = marksOf(svg);
      index = (index + step + marks.length) % marks.length;
      const box = marks[index].getBoundingClientRect();
      show(marks[index], marks[index].dataset.curve ? box.right : box.left + box.width / 2, box.top + box.height / 2);
    });
  }
  document.addEventListener("pointerdown", (event) => event.target.closest?.("svg") || hide());
}
// Where a table or figure is wider than the window, say so: see .cut and .more in the styles.
for (const box of document.querySelectorAll(".scroll")) {
  const mark = () => {
    const cut = box.scrollWidth - box.clientWidth;
    box.classList.toggle("cut", cut > 4);
    box.classList.toggle("more", cut - box.scrollLeft > 4);
  };
  box.addEventListener("scroll", mark, { passive: true });
  new ResizeObserver(mark).observe(box);
  mark();
}
