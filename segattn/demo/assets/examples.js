// Examples and uploads. A file goes to the server as it is; what is wrong with it the server says.
async function send(file) {
  if (!file) return;
  let taken = null;
  try {
    if (file.size <= LIMIT) taken = (await upload(file)).path;
  } catch (error) { /* refused: the message says so */ }
  trigger("upload", { taken, name: file.name });
}

element.addEventListener("click", (event) => {
  const example = event.target.closest("[data-example]");
  if (example) trigger("example", { index: Number(example.dataset.example) });
});
element.addEventListener("change", (event) => {
  if (!event.target.matches("input[type=file]")) return;
  send(event.target.files[0]);
  event.target.value = "";
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  element.addEventListener(kind, (event) => {
    const zone = event.target.closest(".drop");
    if (!zone) return;
    event.preventDefault();
    zone.classList.toggle("over", kind === "dragover");
    if (kind === "drop") send(event.dataTransfer.files[0]);
  });
}
