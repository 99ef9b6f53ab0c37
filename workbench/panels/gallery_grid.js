// The gallery's wall: a page of thumbnails. `items` is [{id, title, starred, trashed}]; `chosen` holds the ids that are
// ticked, `current` the open one. A click opens, the tick (or Space) chooses, Shift and the tick choose a row of pictures.

function render({ model, el }) {
  const pixels = new Pixels(model);
  const wall = element("div", "wb-gallery-wall");
  wall.setAttribute("role", "group");
  wall.setAttribute("aria-label", "Pictures");
  el.append(wall);
  let tiles = [];
  let anchor = -1;

  function choose(place, on, row) {
    const from = row && anchor >= 0 ? Math.min(anchor, place) : place;
    const to = row && anchor >= 0 ? Math.max(anchor, place) : place;
    const ids = model.get("items").slice(from, to + 1).map((item) => item.id);
    const others = model.get("chosen").filter((id) => !ids.includes(id));
    anchor = place;
    model.set("chosen", on ? [...others, ...ids] : others);
    model.save_changes();
  }

  function tile(item, place) {
    const made = element("div", "wb-tile");
    const open = element("button", "wb-tile-open");
    open.type = "button";
    open.title = item.title;
    open.setAttribute("aria-label", item.title);
    const image = element("img");
    image.alt = "";
    open.append(image);
    const tick = element("input", "wb-tile-tick");
    tick.type = "checkbox";
    tick.setAttribute("aria-label", `Choose: ${item.title}`);
    const star = element("span", "wb-tile-star", "★");
    open.addEventListener("click", () => model.send({ type: "open", id: item.id }));
    open.addEventListener("keydown", (event) => key(event, place));
    tick.addEventListener("click", (event) => choose(place, tick.checked, event.shiftKey));
    tick.addEventListener("keydown", (event) => event.stopPropagation());
    made.append(open, tick, star);
    pixels.show(image, item.id);
    return { made, open, tick, star, id: item.id };
  }

  function columns() {
    const top = tiles[0]?.made.offsetTop;
    const next = tiles.findIndex(({ made }) => made.offsetTop > top);
    return next < 0 ? tiles.length : next;
  }

  function key(event, place) {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns(), ArrowDown: columns() }[event.key];
    if (event.key === " ") choose(place, !model.get("chosen").includes(tiles[place].id), event.shiftKey);
    else if (step) tiles[place + step]?.open.focus();
    else return;
    event.preventDefault();
    event.stopPropagation(); // JupyterLab would move to the next notebook cell
  }

  function drawMarks() {
    const chosen = new Set(model.get("chosen"));
    const current = model.get("current");
    model.get("items").forEach((item, place) => {
      const { made, tick, star } = tiles[place];
      made.classList.toggle("wb-chosen", chosen.has(item.id));
      made.classList.toggle("wb-current", item.id === current);
      tick.checked = chosen.has(item.id);
      star.hidden = !item.starred;
    });
  }

  function draw() {
    const items = model.get("items");
    const same = items.length === tiles.length && items.every((item, place) => item.id === tiles[place].id);
    if (!same) {
      for (const old of tiles) pixels.seen.unobserve(old.open.firstChild);
      tiles = items.map(tile);
      anchor = -1;
      wall.replaceChildren(...tiles.map(({ made }) => made));
      if (!items.length) wall.append(element("span", "wb-empty", model.get("nothing")));
    }
    drawMarks();
  }

  model.on("change:items", draw);
  model.on("change:chosen change:current", drawMarks);
  draw();
  return () => {
    model.off("change:items", draw);
    model.off("change:chosen change:current", drawMarks);
    pixels.close();
  };
}

export default { render };
