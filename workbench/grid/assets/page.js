// The grid page: state -> table. Every change goes through `state`, is written to the URL hash, and redraws.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (selector, root = document) => root.querySelector(selector);

  /** Make an element; text never becomes markup. */
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name in element && name !== "list") element[name] = value;
      else element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  }

  // Axes of the page: those of the grid, and the seeds where a cell holds several.
  const gridAxes = data.axes.length;
  const axes = data.axes.map((axis) => ({ ...axis }));
  if (data.seeds.length) axes.push({ title: axes.some((a) => a.title === "Seed") ? "Seed in cell" : "Seed", labels: data.seeds });
  const ROLES = { x: "Columns", y: "Rows", sx: "Group columns", sy: "Group rows", cell: "Inside cells" };
  const PAGE_SHOTS = 3000; // more buttons than this make a browser slow; rows are then shown in pages
  const largest = data.pictures.reduce((side, p) => Math.max(side, p.width, p.height), 0) || 128;
  const usual = data.pictures[0] || { width: 128, height: 128 };

  function defaults() {
    const roles = axes.map(() => "tab");
    ["x", "y"].forEach((role, axis) => { if (axis < gridAxes) roles[axis] = role; });
    const size = (axis) => (axis < gridAxes ? axes[axis].labels.length : 1);
    if (gridAxes > 2 && size(0) * size(2) <= 16) roles[2] = "sx";
    if (gridAxes > 3 && size(1) * size(3) <= 24) roles[3] = "sy";
    if (data.seeds.length) roles[gridAxes] = "cell";
    return { roles, tabs: axes.map(() => 0), hidden: axes.map(() => new Set()), side: 0, page: 0, open: null };
  }

  // ---- state and URL hash --------------------------------------------------------------------------------------
  let state = readHash();

  function readHash() {
    const fresh = defaults();
    const query = new URLSearchParams(location.hash.slice(1));
    const known = new Set([...Object.keys(ROLES), "tab"]);
    axes.forEach((axis, place) => {
      const role = query.get(`r${place}`);
      if (known.has(role)) fresh.roles[place] = role;
      const tab = Number(query.get(`t${place}`));
      if (Number.isInteger(tab) && tab >= 0 && tab < axis.labels.length) fresh.tabs[place] = tab;
      const hidden = (query.get(`h${place}`) || "").split(".").filter((x) => x !== "").map(Number);
      if (hidden.length < axis.labels.length) fresh.hidden[place] = new Set(hidden.filter((x) => x >= 0 && x < axis.labels.length));
    });
    for (const role of Object.keys(ROLES)) { // a hash made by hand may give one role twice
      const holders = axes.map((_, place) => place).filter((place) => fresh.roles[place] === role);
      holders.slice(1).forEach((place) => { fresh.roles[place] = "tab"; });
    }
    fresh.side = Math.min(768, Math.max(0, Number(query.get("size")) || 0));
    fresh.page = Math.max(0, Math.trunc(Number(query.get("page")) || 0));
    const open = (query.get("open") || "").split(".").map(Number);
    fresh.open = open.length === 2 && data.cells[open[0]]?.[open[1]] ? { cell: open[0], seed: open[1] } : null;
    return fresh;
  }

  function writeHash() {
    const query = new URLSearchParams();
    const usualRoles = defaults().roles;
    axes.forEach((_, place) => {
      if (state.roles[place] !== usualRoles[place]) query.set(`r${place}`, state.roles[place]);
      if (state.tabs[place]) query.set(`t${place}`, state.tabs[place]);
      if (state.hidden[place].size) query.set(`h${place}`, [...state.hidden[place]].sort((a, b) => a - b).join("."));
    });
    if (state.side) query.set("size", state.side);
    if (state.page) query.set("page", state.page);
    if (state.open) query.set("open", `${state.open.cell}.${state.open.seed}`);
    try {
      history.replaceState(null, "", `#${query}`);
    } catch { /* a page inside a sandboxed frame has no history */ }
  }

  const holder = (role) => state.roles.indexOf(role);
  const shown = (axis) => (axis < 0 ? [-1] : axes[axis].labels.map((_, place) => place).filter((place) => !state.hidden[axis].has(place)));
  const label = (axis, place) => axes[axis].labels[place];

  // ---- where things are ----------------------------------------------------------------------------------------
  /** The shot at a place on every axis, or null for a hole. */
  function shotAt(places) {
    let cell = 0;
    for (let axis = 0; axis < gridAxes; axis += 1) cell = cell * axes[axis].labels.length + places[axis];
    const seed = data.seeds.length ? places[gridAxes] : 0;
    const shots = data.cells[cell];
    return shots ? { cell, seed, shot: shots[seed] } : null;
  }

  /** Places on every axis of a shot. */
  function placesOf({ cell, seed }) {
    const places = new Array(axes.length).fill(0);
    let rest = cell;
    for (let axis = gridAxes - 1; axis >= 0; axis -= 1) {
      places[axis] = rest % axes[axis].labels.length;
      rest = Math.floor(rest / axes[axis].labels.length);
    }
    if (data.seeds.length) places[gridAxes] = seed;
    return places;
  }

  const describe = (at) => placesOf(at).map((place, axis) => `${axes[axis].title} ${label(axis, place)}`).join(", ");

  /** Rows of columns of lists of places: what the table shows, all pages. */
  function matrix() {
    const roles = Object.fromEntries(Object.keys(ROLES).map((role) => [role, holder(role)]));
    const base = axes.map((_, axis) => state.tabs[axis]);
    const put = (places, role, place) => { if (roles[role] >= 0) places[roles[role]] = place; };
    const columns = shown(roles.sx).flatMap((outer) => shown(roles.x).map((inner) => ({ outer, inner })));
    const rows = shown(roles.sy).flatMap((outer) => shown(roles.y).map((inner) => ({ outer, inner })));
    const at = (row, column) => shown(roles.cell).map((inside) => {
      const places = [...base];
      put(places, "sy", row.outer); put(places, "y", row.inner);
      put(places, "sx", column.outer); put(places, "x", column.inner);
      put(places, "cell", inside);
      return places;
    });
    return { roles, columns, rows, at };
  }

  // ---- table ---------------------------------------------------------------------------------------------------
  let view = null; // the matrix on screen
  const table = $("table");

  function draw() {
    view = matrix();
    const { roles, columns, rows, at } = view;
    const perPage = Math.max(1, Math.floor(PAGE_SHOTS / (columns.length * shown(roles.cell).length)));
    const pages = Math.ceil(rows.length / perPage);
    state.page = Math.min(state.page, pages - 1);
    view.visible = rows.slice(state.page * perPage, (state.page + 1) * perPage);
    table.replaceChildren(head(), body(at));
    drawPaging(pages, perPage, rows.length);
    drawTools();
    setScale();
    stickHeaders();
    writeHash();
  }

  function head() {
    const { roles, columns } = view;
    const sideColumns = (roles.sy >= 0) + (roles.y >= 0);
    const result = make("thead");
    const levels = [["sx", "outer"], ["x", "inner"]].filter(([role]) => roles[role] >= 0);
    if (!levels.length) return result;
    levels.forEach(([role, level], number) => {
      const row = make("tr");
      if (number === 0) {
        for (const side of ["sy", "y"]) {
          if (roles[side] >= 0) row.append(make("th", { className: "corner", rowSpan: levels.length, scope: "col" }, axes[roles[side]].title));
        }
      }
      let first = true;
      columns.forEach((column, index) => {
        if (role === "sx" && index && columns[index - 1].outer === column.outer) return;
        const span = role === "sx" ? columns.filter((other) => other.outer === column.outer).length : 1;
        const cell = make("th", { scope: role === "sx" ? "colgroup" : "col", colSpan: span, className: role === "sx" ? "group" : "" });
        if (index && (role === "sx" || columns[index - 1].outer !== column.outer)) cell.classList.add("gap");
        if (first) cell.append(make("span", { className: "axis" }, axes[roles[role]].title));
        else cell.append(make("span", { className: "axis", ariaHidden: "true" }, "\u00a0"));
        first = false;
        cell.append(label(roles[role], column[level]));
        row.append(cell);
      });
      result.append(row);
    });
    result.dataset.side = sideColumns;
    return result;
  }

  function body(at) {
    const { roles, columns, visible } = view;
    const result = make("tbody");
    visible.forEach((row, index) => {
      const line = make("tr");
      const opens = index === 0 || visible[index - 1].outer !== row.outer;
      if (index && opens) line.classList.add("gap");
      if (roles.sy >= 0 && opens) {
        const span = visible.filter((other) => other.outer === row.outer).length;
        line.append(make("th", { scope: "rowgroup", rowSpan: span, className: "group" }, make("span", {}, label(roles.sy, row.outer))));
      }
      if (roles.y >= 0) line.append(make("th", { scope: "row", className: "row" }, label(roles.y, row.inner)));
      columns.forEach((column, place) => {
        const cell = make("div", { className: "cell" });
        for (const places of at(row, column)) cell.append(tile(places, index, place));
        const td = make("td", {}, cell);
        if (place && columns[place - 1].outer !== column.outer) td.classList.add("gap");
        line.append(td);
      });
      result.append(line);
    });
    return result;
  }

  function tile(places, row, column) {
    const found = shotAt(places);
    const size = (box, element) => {
      element.style.setProperty("--w", box.width);
      element.style.setProperty("--h", box.height);
      return element;
    };
    if (!found) return size(usual, make("div", { className: "hole", role: "img", ariaLabel: "skipped" }, "skipped"));
    const { shot } = found;
    const picture = shot.status === "done" ? data.pictures[shot.picture] : usual;
    const words = { failed: ", failed", pending: ", not run", done: "" }[shot.status];
    const button = make("button", { type: "button", className: `shot ${shot.status}`, ariaLabel: describe(found) + words });
    Object.assign(button.dataset, { row, column, cell: found.cell, seed: found.seed });
    if (shot.status === "done") {
      button.append(make("img", { src: picture.uri, alt: "", loading: "lazy", decoding: "async", width: picture.width, height: picture.height }));
    } else {
      button.append(shot.status === "failed" ? shot.error : "not run");
      button.title = shot.error || "not run";
    }
    button.addEventListener("click", () => open(found));
    return size(picture, button);
  }

  function drawPaging(pages, perPage, total) {
    const bar = $(".paging");
    bar.hidden = pages < 2;
    const go = (by) => () => { state.page += by; draw(); $(".stage").scrollTop = 0; };
    const last = Math.min(total, (state.page + 1) * perPage);
    bar.replaceChildren(
      make("button", { type: "button", disabled: state.page === 0, onclick: go(-1) }, "‹ Previous rows"),
      make("span", {}, `Rows ${state.page * perPage + 1} to ${last} of ${total}`),
      make("button", { type: "button", disabled: state.page >= pages - 1, onclick: go(1) }, "Next rows ›"),
    );
  }

  // ---- tools ---------------------------------------------------------------------------------------------------
  /** Give `role` to `axis`; whoever had it takes the axis's old role. */
  function assign(role, axis) {
    const before = holder(role);
    if (axis >= 0) {
      const old = state.roles[axis];
      state.roles[axis] = role;
      if (before >= 0 && before !== axis) state.roles[before] = old;
    } else if (before >= 0) state.roles[before] = "tab";
    state.page = 0;
    draw();
  }

  function transpose() {
    const swap = { x: "y", y: "x", sx: "sy", sy: "sx" };
    state.roles = state.roles.map((role) => swap[role] || role);
    state.page = 0;
    draw();
  }

  function drawTools() {
    const focus = document.activeElement?.dataset?.focus;
    $(".roles").replaceChildren(...Object.entries(ROLES).filter(([role]) => axes.length > 2 || "xy".includes(role)).map(([role, name]) => {
      const select = make("select", { ariaLabel: name, onchange: (event) => assign(role, Number(event.target.value)) });
      select.dataset.focus = role;
      select.append(make("option", { value: -1, selected: holder(role) < 0 }, "—"));
      axes.forEach((axis, place) => select.append(make("option", { value: place, selected: holder(role) === place }, axis.title)));
      return make("label", {}, name, select);
    }));
    $(".values .panel").replaceChildren(...axes.map((axis, place) => {
      const boxes = axis.labels.map((text, value) => {
        const box = make("input", { type: "checkbox", checked: !state.hidden[place].has(value) });
        box.dataset.focus = `v${place}.${value}`;
        box.onchange = () => toggle(place, value, box.checked);
        return make("label", {}, box, make("span", {}, text));
      });
      return make("fieldset", {}, make("legend", {}, axis.title), ...boxes);
    }));
    const hidden = state.hidden.reduce((sum, set) => sum + set.size, 0);
    $(".values summary").textContent = hidden ? `Values (${hidden} hidden)` : "Values";
    $(".tabs").replaceChildren(...axes.flatMap((axis, place) => (state.roles[place] === "tab" && axis.labels.length > 1 ? [tabs(axis, place)] : [])));
    if (focus) $(`[data-focus="${focus}"]`)?.focus();
  }

  function toggle(axis, value, visible) {
    const hidden = state.hidden[axis];
    if (visible) hidden.delete(value);
    else if (hidden.size < axes[axis].labels.length - 1) hidden.add(value); // one value always stays
    draw();
  }

  function tabs(axis, place) {
    const choose = (value) => { state.tabs[place] = value; draw(); };
    const strip = make("div", { className: "strip", role: "tablist", ariaLabel: axis.title });
    shown(place).forEach((value) => {
      const selected = state.tabs[place] === value;
      const tab = make("button", { type: "button", role: "tab", ariaSelected: String(selected), tabIndex: selected ? 0 : -1, onclick: () => choose(value) }, axis.labels[value]);
      tab.dataset.focus = `t${place}.${value}`;
      strip.append(tab);
    });
    strip.addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!by) return;
      event.preventDefault();
      const order = shown(place);
      const next = order[(order.indexOf(state.tabs[place]) + by + order.length) % order.length];
      choose(next);
      $(`[data-focus="t${place}.${next}"]`)?.focus();
    });
    return make("div", {}, make("span", { className: "name" }, axis.title), strip);
  }

  // ---- size ----------------------------------------------------------------------------------------------------
  /** Side of the largest picture, in screen pixels, at which all columns are visible; small pictures grow twofold at most. */
  function fitting() {
    const { roles, columns } = view;
    const sides = (roles.sy >= 0 ? 130 : 0) + (roles.y >= 0 ? 130 : 0) + 60;
    const inside = shown(roles.cell).length;
    const wide = (innerWidth - sides - columns.length * 10) / (columns.length * inside);
    return Math.round(Math.min(largest * 2, 768, Math.max(48, wide)));
  }

  function setScale() {
    const side = state.side || fitting();
    const scale = side / largest;
    table.style.setProperty("--scale", scale);
    table.classList.toggle("crisp", scale >= 2 || Number.isInteger(scale)); // below that, unequal pixels look torn
    $(".zoom input").value = side;
    $(".zoom output").textContent = `${Math.round(scale * 100)} %`;
  }

  /** Sticky cells need to know how high the rows above and how wide the columns before them are. */
  function stickHeaders() {
    let top = 0;
    for (const row of table.querySelectorAll("thead tr")) {
      for (const cell of row.children) cell.style.top = `${top}px`;
      top += row.lastElementChild.offsetHeight;
    }
    const pad = parseFloat(getComputedStyle($(".stage")).paddingLeft);
    const group = $("tbody th.group");
    const offset = group ? group.offsetWidth : 0;
    for (const cell of table.querySelectorAll("tbody th.group")) cell.style.left = `${-pad}px`;
    for (const cell of table.querySelectorAll("tbody th.row")) cell.style.left = `${offset - pad}px`;
    const corners = table.querySelectorAll("thead th.corner");
    if (corners.length > 1) corners[1].style.left = `${offset - pad}px`;
    for (const cell of table.querySelectorAll("tbody th.group span")) cell.style.top = `${top + 12}px`;
  }

  // ---- viewer --------------------------------------------------------------------------------------------------
  const viewer = $("dialog.viewer");

  function open(at) {
    state.open = { cell: at.cell, seed: at.seed };
    const shot = data.cells[at.cell][at.seed];
    const frame = $(".picture", viewer);
    frame.classList.remove("real");
    if (shot.status === "done") {
      const picture = data.pictures[shot.picture];
      const image = make("img", { src: picture.uri, alt: describe(at), width: picture.width, height: picture.height });
      image.style.imageRendering = picture.width < 512 ? "pixelated" : "auto";
      image.onclick = () => frame.classList.toggle("real");
      frame.replaceChildren(image);
    } else frame.replaceChildren();
    const pairs = (list, entries) => list.replaceChildren(...entries.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
    const titled = placesOf(at).map((place, axis) => [axes[axis].title, label(axis, place)]);
    if (!data.seeds.length && !axes.some((axis) => axis.title === "Seed")) titled.push(["Seed", String(shot.seed)]);
    $("h2", viewer).textContent = titled.slice(0, 2).map(([, value]) => value).join(" · ");
    pairs($(".place", viewer), titled);
    const problem = $(".problem", viewer);
    const text = shot.error || (shot.warnings || []).join(" ") || (shot.status === "pending" ? "Not run yet." : "");
    problem.hidden = !text;
    problem.textContent = text;
    problem.classList.toggle("warning", !shot.error);
    $(".recipe", viewer).textContent = shot.recipe;
    pairs($(".facts", viewer), Object.entries(shot.facts || {}));
    if (!viewer.open) viewer.showModal();
    writeHash();
  }

  viewer.addEventListener("close", () => {
    const last = state.open;
    state.open = null;
    writeHash();
    if (last) button(last)?.focus();
  });
  $(".close", viewer).onclick = () => viewer.close();
  viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });

  const button = ({ cell, seed }) => table.querySelector(`.shot[data-cell="${cell}"][data-seed="${seed}"]`);

  /** The next shot in a direction, past holes; seeds of a cell are columns of their own. */
  function neighbour(from, dx, dy) {
    const here = button(from);
    if (!here) return null;
    const row = Number(here.dataset.row);
    const lines = [...table.querySelectorAll("tbody tr")].map((line) => [...line.querySelectorAll(".shot, .hole")]);
    let x = lines[row].indexOf(here) + dx;
    let y = row + dy;
    while (lines[y]?.[x]) {
      const found = lines[y][x];
      if (found.classList.contains("shot")) return { cell: Number(found.dataset.cell), seed: Number(found.dataset.seed), element: found };
      x += dx;
      y += dy;
    }
    return null;
  }

  const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const way = WAYS[event.key];
    const focused = document.activeElement;
    if (way && (viewer.open || focused.classList.contains("shot"))) {
      const from = viewer.open ? state.open : { cell: focused.dataset.cell, seed: focused.dataset.seed };
      const next = neighbour(from, ...way);
      event.preventDefault();
      if (next && viewer.open) open(next);
      else if (next) next.element.focus();
    } else if (!viewer.open && !["INPUT", "SELECT"].includes(focused.tagName)) {
      ({ t: transpose, f: fit, 1: exact })[event.key]?.();
    }
  });

  function fit() { state.side = 0; setScale(); stickHeaders(); writeHash(); }
  function exact() { state.side = largest; setScale(); stickHeaders(); writeHash(); }
  $(".transpose").onclick = transpose;
  $(".fit").onclick = fit;
  $(".exact").onclick = exact;
  $(".zoom input").oninput = (event) => { state.side = Number(event.target.value); setScale(); stickHeaders(); writeHash(); };

  for (const copy of document.querySelectorAll(".copy")) {
    copy.onclick = async () => {
      const pre = copy.parentElement.querySelector("pre") || $(".recipe", viewer);
      try {
        await navigator.clipboard.writeText(pre.textContent);
        copy.textContent = "Copied";
      } catch { // a page from a file may have no clipboard: select the text instead
        getSelection().selectAllChildren(pre);
        copy.textContent = "Selected";
      }
      setTimeout(() => { copy.textContent = "Copy"; }, 1500);
    };
  }
  for (const menu of document.querySelectorAll("details")) {
    document.addEventListener("click", (event) => { if (!event.composedPath().includes(menu)) menu.open = false; });
    menu.addEventListener("keydown", (event) => { if (event.key === "Escape") { menu.open = false; $("summary", menu).focus(); } });
  }
  addEventListener("resize", () => { setScale(); stickHeaders(); });
  addEventListener("hashchange", () => { state = readHash(); redraw(); });

  function redraw() {
    const wanted = state.open;
    draw();
    if (wanted) open(wanted);
    else if (viewer.open) viewer.close();
  }
  redraw();
})();
