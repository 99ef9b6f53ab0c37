// Caption gallery: one card per picture. `items` is [{id, caption, changed}], `selected` a list of ids. A click selects one,
// Ctrl or Cmd adds or removes one, Shift takes all in between; arrow keys walk, Space adds or removes.

function render({ model, el }) {
  const pixels = new Pixels(model);
  const wall = element("div", "ft-captions");
  wall.setAttribute("role", "listbox");
  wall.setAttribute("aria-multiselectable", "true");
  const cards = new Map(); // id -> {card, text}
  let anchor = null; // where a range begins
  el.append(wall);

  const ids = () => model.get("items").map((item) => item.id);

  function choose(chosen) {
    model.set("selected", ids().filter((id) => chosen.has(id)));
    model.save_changes();
  }

  function pick(id, { range, toggle }) {
    const chosen = new Set(toggle || range ? model.get("selected") : []);
    if (range && anchor !== null) {
      const order = ids();
      const [from, to] = [order.indexOf(anchor), order.indexOf(id)].sort((a, b) => a - b);
      order.slice(from, to + 1).forEach((each) => chosen.add(each));
    } else {
      if (toggle && chosen.has(id)) chosen.delete(id);
      else chosen.add(id);
      anchor = id;
    }
    choose(chosen);
  }

  function made(item) {
    const card = element("button", "ft-card");
    card.type = "button";
    card.setAttribute("role", "option");
    const image = element("img");
    image.alt = "";
    const text = element("span", "ft-caption");
    card.append(image, text);
    card.addEventListener("click", (event) => pick(item.id, { range: event.shiftKey, toggle: event.ctrlKey || event.metaKey }));
    card.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (step) wall.children[[...wall.children].indexOf(card) + step]?.focus();
      else if (event.key === " ") pick(item.id, { toggle: true });
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    pixels.show(image, item.id);
    return { card, text };
  }

  function draw() {
    const selected = new Set(model.get("selected"));
    for (const item of model.get("items")) {
      if (!cards.has(item.id)) {
        cards.set(item.id, made(item));
        wall.append(cards.get(item.id).card);
      }
      const { card, text } = cards.get(item.id);
      text.textContent = item.caption || "(no caption)";
      card.title = `${item.id}\n${item.caption}`;
      card.classList.toggle("ft-empty", !item.caption);
      card.classList.toggle("ft-changed", item.changed);
      card.classList.toggle("ft-selected", selected.has(item.id));
      card.setAttribute("aria-selected", selected.has(item.id));
    }
  }

  model.on("change:items change:selected", draw);
  draw();
  return () => {
    model.off("change:items change:selected", draw);
    pixels.close();
  };
}

export default { render };
