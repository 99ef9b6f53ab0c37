// History strip: one button per picture, newest first. `items` is [{id, title}], `nothing` what an empty one says; a click sends {type: "open", id}.

function render({ model, el }) {
  const pixels = new Pixels(model);
  const strip = element("div", "wb-strip");
  const buttons = new Map(); // id -> button, kept so that a growing list never flickers
  el.append(strip);

  function button(item) {
    const made = element("button", "wb-strip-item");
    made.type = "button";
    made.title = item.title;
    made.setAttribute("aria-label", `Restore: ${item.title}`);
    const image = element("img");
    image.alt = "";
    made.append(image);
    made.addEventListener("click", () => model.send({ type: "open", id: item.id }));
    pixels.show(image, item.id);
    return made;
  }

  function draw() {
    const items = model.get("items");
    const current = model.get("current");
    for (const [id, old] of buttons) {
      if (!items.some((item) => item.id === id)) {
        old.remove();
        buttons.delete(id);
        pixels.forget(id);
      }
    }
    for (const item of items) {
      if (!buttons.has(item.id)) buttons.set(item.id, button(item));
    }
    items.forEach((item, place) => {
      const made = buttons.get(item.id);
      if (strip.children[place] !== made) strip.insertBefore(made, strip.children[place] ?? null);
      made.classList.toggle("wb-current", item.id === current);
    });
    if (!items.length && !strip.firstChild) strip.append(element("span", "wb-empty", model.get("nothing")));
    if (items.length) strip.querySelector(".wb-empty")?.remove();
  }

  model.on("change:items change:current", draw);
  draw();
  return () => {
    model.off("change:items change:current", draw);
    pixels.close();
  };
}

export default { render };
