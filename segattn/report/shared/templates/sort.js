// A click on a heading sorts its table by that column: numbers by data-value or text, missing ones last, a second click reverses.
for (const table of document.querySelectorAll("table.sortable")) {
  // Which column a heading is over, counting colspan and rowspan.
  const taken = [];
  [...table.tHead.rows].forEach((row, y) => {
    let x = 0;
    for (const heading of row.cells) {
      while (taken[y]?.[x]) x += 1;
      for (let dy = 0; dy < heading.rowSpan; dy += 1)
        for (let dx = 0; dx < heading.colSpan; dx += 1) (taken[y + dy] ??= [])[x + dx] = true;
      if (!("unsortable" in heading.dataset)) make(heading, x);
      x += heading.colSpan;
    }
  });
  function make(heading, column) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const numeric = heading.classList.contains("number");
      const before = heading.getAttribute("aria-sort");
      const descending = before ? before === "ascending" : numeric;
      table.querySelectorAll("[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const key = (row) => {
        const cell = row.cells[column];
        const text = cell.dataset.value ?? cell.textContent.trim().replace("\u2212", "-");
        return numeric ? (text === "" ? NaN : Number(text)) : text;
      };
      for (const body of table.tBodies) {
        const rows = [...body.rows].sort((a, b) => {
          const [p, q] = [key(a), key(b)];
          if (!numeric) return (descending ? -1 : 1) * p.localeCompare(q);
          if (Number.isNaN(p) || Number.isNaN(q)) return Number.isNaN(p) - Number.isNaN(q);
          return descending ? q - p : p - q;
        });
        body.append(...rows);
      }
    });
  }
}
