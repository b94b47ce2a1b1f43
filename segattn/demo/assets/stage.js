// The picture: a click places a pixel, its marks can be dragged or moved by arrow keys. Sends {first: [x, y], second: [x, y] | null}.
const stage = () => element.querySelector(".stage");
const mark = (number) => element.querySelector(`[data-mark="${number}"]`);
const size = () => [Number(stage().dataset.width), Number(stage().dataset.height)];
let placing = 1, dragged = null, moved = false, waiting = null;

function at(number) {
  const found = mark(number);
  return found.hidden ? null : [Number(found.dataset.x), Number(found.dataset.y)];
}

function pixelUnder(event) {
  const box = element.querySelector(".canvas img").getBoundingClientRect();
  const [width, height] = size();
  const across = Math.floor((event.clientX - box.left) / box.width * width);
  const down = Math.floor((event.clientY - box.top) / box.height * height);
  return [Math.min(Math.max(across, 0), width - 1), Math.min(Math.max(down, 0), height - 1)];
}

function place(number, [x, y]) {
  const found = mark(number), [width, height] = size();
  found.hidden = false;
  Object.assign(found.dataset, { x, y });
  show();
}

function show() {
  const [width, height] = size();
  for (const number of [1, 2]) {
    const point = at(number);
    if (!point) continue;
    mark(number).style.left = `${(point[0] + 0.5) / width * 100}%`;
    mark(number).style.top = `${(point[1] + 0.5) / height * 100}%`;
    mark(number).setAttribute("aria-label", `pixel ${number} at ${point[0]}, ${point[1]}; arrow keys move it`);
  }
  element.querySelector(".remove").hidden = !at(2);
  element.querySelectorAll("[data-place]").forEach((button) =>
    button.setAttribute("aria-checked", String(Number(button.dataset.place) === placing)));
  element.querySelector(".where").textContent =
    [1, 2].map((number) => at(number) && `· ${number} at ${at(number).join(", ")}`).filter(Boolean).join(" ");
}

function send() {
  clearTimeout(waiting);
  trigger("point", { first: at(1), second: at(2) });
}

element.addEventListener("pointerdown", (event) => {
  if (event.button !== 0 || !event.target.closest(".canvas")) return;
  const found = event.target.closest(".mark");
  dragged = found ? Number(found.dataset.mark) : placing;
  if (!found) place(dragged, pixelUnder(event));
  else found.focus();
  moved = !found;
  event.target.closest(".canvas").setPointerCapture(event.pointerId);
  event.preventDefault();
});
element.addEventListener("pointermove", (event) => {
  if (dragged === null) return;
  moved = true;
  place(dragged, pixelUnder(event));
});
element.addEventListener("pointerup", () => {
  if (dragged !== null && moved) send();
  dragged = null;
});
element.addEventListener("pointercancel", () => { dragged = null; });
element.addEventListener("click", (event) => {
  const chosen = event.target.closest("[data-place]");
  if (chosen) placing = Number(chosen.dataset.place);
  if (event.target.closest(".remove")) {
    mark(2).hidden = true;
    placing = 1;
    send();
  }
  if (event.target.closest(".choose")) show();
});
element.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  const found = event.target.closest(".mark");
  if (!step || !found) return;
  event.preventDefault();
  const number = Number(found.dataset.mark), by = event.shiftKey ? 1 : 8, [width, height] = size(), [x, y] = at(number);
  place(number, [Math.min(Math.max(x + by * step[0], 0), width - 1), Math.min(Math.max(y + by * step[1], 0), height - 1)]);
  clearTimeout(waiting);
  waiting = setTimeout(send, 300);
});
watch("value", () => { placing = 1; show(); });
if (stage()) show();
