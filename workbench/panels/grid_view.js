// Grid viewer: any two axes as columns and rows, the others as menus; pixels are fetched as cells come into sight.
//
// Traits from Python: `grid` (axes, labels, seeds, run number), `states` (one letter per picture: p pending,
// r running, d done, u reused, f failed, h hole), `errors` (place -> text). Traits of the view, kept over a reload:
// `view` (which axes, which places, cell size) and `selected` (place of the open picture, -1 for none).

const WORDS = { p: "waiting", r: "being made", d: "done", u: "from the store", f: "failed", h: "left out" };

function render({ model, el }) {
  const pixels = new Pixels(model);
  const box = element("div", "wb-grid-view");
  const bar = element("div", "wb-grid-bar");
  const scroll = element("div", "wb-grid-scroll");
  box.append(bar, scroll);
  el.append(box);
  let cells = new Map(); // place -> {button, image, state}

  const axes = () => model.get("grid").axes ?? [];
  const seeds = () => model.get("grid").seeds ?? [""];
  const identity = (place) => `${model.get("grid").run}:${place}`;

  // What is shown: axis numbers of columns and rows (-1: none), and the place on every other axis.
  function view() {
    const count = axes().length;
    const kept = model.get("view");
    let { x = 0, y = 1 } = kept;
    if (x >= count) x = 0;
    if (y >= count || y === x) y = count > 1 ? (x === 0 ? 1 : 0) : -1;
    const at = axes().map((axis, number) => Math.min(kept.at?.[number] ?? 0, axis.labels.length - 1));
    return { x, y, at, size: kept.size ?? 128 };
  }

  function change(changes) {
    model.set("view", { ...view(), ...changes });
    model.save_changes();
  }

  function placeOf(at, seed) {
    let index = 0;
    axes().forEach((axis, number) => { index = index * axis.labels.length + at[number]; });
    return index * seeds().length + seed;
  }

  function describe(at, seed) {
    const parts = axes().map((axis, number) => `${axis.title} ${axis.labels[at[number]]}`);
    if (seeds()[seed] !== "") parts.push(`seed ${seeds()[seed]}`);
    return parts.join(", ");
  }

  function menu(label, options, chosen, act) {
    const made = element("label", "", label);
    const select = element("select");
    options.forEach(([text, value]) => {
      const option = element("option", "", text);
      option.value = value;
      option.selected = value === chosen;
      select.append(option);
    });
    select.addEventListener("change", () => act(Number(select.value)));
    made.append(select);
    return made;
  }

  function drawBar() {
    const { x, y, at, size } = view();
    const names = axes().map((axis, number) => [axis.title, number]);
    bar.replaceChildren();
    if (!names.length) return;
    bar.append(menu("columns", names, x, (value) => change({ x: value, y: value === y ? x : y })));
    if (names.length > 1) bar.append(menu("rows", names, y, (value) => change({ y: value, x: value === x ? y : x })));
    axes().forEach((axis, number) => {
      if (number === x || number === y) return;
      const options = axis.labels.map((label, place) => [label, place]);
      bar.append(menu(axis.title, options, at[number], (value) => change({ at: at.with(number, value) })));
    });
    const zoom = element("label", "wb-grid-zoom", "size");
    const slider = element("input");
    Object.assign(slider, { type: "range", min: 48, max: 384, step: 16, value: size });
    slider.addEventListener("input", () => box.style.setProperty("--wb-cell", `${slider.value}px`));
    slider.addEventListener("change", () => change({ size: Number(slider.value) }));
    zoom.append(slider);
    bar.append(zoom);
  }

  function cell(at, seed) {
    const place = placeOf(at, seed);
    const button = element("button", "wb-cell");
    button.type = "button";
    button.dataset.place = place;
    const image = element("img");
    image.alt = "";
    button.append(image, element("span", "wb-cell-text"));
    button.addEventListener("click", () => {
      model.set("selected", place);
      model.save_changes();
    });
    cells.set(place, { button, image, at, seed, state: "" });
    return button;
  }

  function drawCells() {
    for (const { image } of cells.values()) pixels.seen.unobserve(image);
    cells = new Map();
    scroll.replaceChildren();
    if (!axes().length) return;
    const { x, y, at } = view();
    const rows = y < 0 ? [""] : axes()[y].labels;
    const table = element("div", "wb-grid-table");
    table.style.setProperty("--wb-columns", axes()[x].labels.length);
    table.style.setProperty("--wb-seeds", Math.ceil(Math.sqrt(seeds().length)));
    const corner = element("div", "wb-grid-corner");
    corner.append(element("span", "wb-grid-x", `${axes()[x].title} →`));
    if (y >= 0) corner.append(element("span", "wb-grid-y", `${axes()[y].title} ↓`));
    table.append(corner, ...axes()[x].labels.map((label) => element("div", "wb-grid-column", label)));
    rows.forEach((label, row) => {
      table.append(element("div", "wb-grid-row", label));
      axes()[x].labels.forEach((_, column) => {
        const here = at.with(x, column);
        if (y >= 0) here[y] = row;
        const group = element("div", "wb-grid-cell");
        seeds().forEach((_, seed) => group.append(cell(here, seed)));
        table.append(group);
      });
    });
    scroll.append(table);
    drawStates();
    drawSelected();
  }

  function drawStates() {
    const states = model.get("states");
    const errors = model.get("errors");
    for (const [place, shown] of cells) {
      const state = states[place] ?? "p";
      const text = state === "f" ? (errors[place] ?? "") : "";
      if (state === shown.state && text === shown.button.lastChild.textContent) continue;
      shown.state = state;
      const { button, image, at, seed } = shown;
      button.className = `wb-cell wb-state-${state}`;
      button.disabled = state === "h";
      button.lastChild.textContent = text;
      button.title = text || describe(at, seed);
      button.setAttribute("aria-label", `${describe(at, seed)}: ${WORDS[state]}${text ? `. ${text}` : ""}`);
      if (state === "d" || state === "u") pixels.show(image, identity(place));
    }
    drawSelected();
  }

  function drawSelected() {
    const selected = model.get("selected");
    for (const [place, { button }] of cells) {
      button.classList.toggle("wb-selected", place === selected);
      button.setAttribute("aria-pressed", String(place === selected));
    }
  }

  function drawAll() {
    box.style.setProperty("--wb-cell", `${view().size}px`);
    box.hidden = !axes().length;
    drawBar();
    drawCells();
  }

  let run = model.get("grid").run;
  function newGrid() {
    if (model.get("grid").run !== run) {
      for (const id of [...pixels.urls.keys()]) pixels.forget(id);
      run = model.get("grid").run;
    }
    drawAll();
  }

  // A preview while the picture is being made; the finished one replaces it when its state changes.
  function preview(content, buffers) {
    if (content.type !== "preview") return;
    const [of, place] = content.id.split(":").map(Number);
    const shown = cells.get(place);
    if (of !== run || !shown || "du".includes(shown.state)) return;
    const url = URL.createObjectURL(new Blob([buffers[0]], { type: content.mime }));
    shown.image.onload = () => { URL.revokeObjectURL(url); shown.image.onload = null; };
    shown.image.src = url;
  }

  function key(event) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const shown = cells.get(Number(event.target.closest?.(".wb-cell")?.dataset.place));
    if (!step || !shown) return;
    event.preventDefault();
    event.stopPropagation(); // JupyterLab would move to the next notebook cell
    const { x, y } = view();
    const at = [...shown.at];
    at[x] += step[0];
    if (y >= 0) at[y] += step[1];
    if (axes().every((axis, number) => at[number] >= 0 && at[number] < axis.labels.length)) {
      cells.get(placeOf(at, shown.seed))?.button.focus();
    }
  }

  scroll.addEventListener("keydown", key);
  model.on("msg:custom", preview);
  model.on("change:grid", newGrid);
  model.on("change:view", drawAll);
  model.on("change:states change:errors", drawStates);
  model.on("change:selected", drawSelected);
  drawAll();
  return () => {
    model.off("msg:custom", preview);
    model.off("change:grid", newGrid);
    model.off("change:view", drawAll);
    model.off("change:states change:errors", drawStates);
    model.off("change:selected", drawSelected);
    pixels.close();
  };
}

export default { render };
