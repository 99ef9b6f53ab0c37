// Compare any number of pictures: side by side, under a slider, as a map of differences, or blinking.
//
// compareView(box, data) draws into `box`. data: {items: [{label, note, width, height}], ramp: [[r, g, b] x 256],
// least, load(place) -> Promise of a URL, state: {mode, a, b, speed}, changed(state)}. Used by the widget, whose pictures
// come over the kernel's line, and by the page that `Comparison.to_html` writes, whose pictures are in it.

const COMPARE_MODES = [["side", "Side by side"], ["slider", "Slider"], ["difference", "Difference"], ["blink", "Blink"]];

function compareElement(tag, name, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
}

function compareView(box, data) {
  const count = data.items.length;
  const state = { mode: "side", a: 0, b: Math.min(1, count - 1), speed: 2, ...data.state };
  const urls = new Map(); // place -> promise of a URL
  const bar = compareElement("div", "wb-compare-bar");
  const stage = compareElement("div", "wb-compare-stage");
  const note = compareElement("div", "wb-compare-note");
  note.setAttribute("role", "status");
  let timer = 0;
  let drawing = 0; // number of the last drawing; an older one that is still waiting for pictures gives up
  box.classList.add("wb-compare");
  box.append(bar, stage, note);

  const url = (place) => {
    if (!urls.has(place)) urls.set(place, data.load(place));
    return urls.get(place);
  };

  function picture(place, name = "wb-compare-picture") {
    const image = compareElement("img", name);
    image.alt = data.items[place].label;
    url(place).then((found) => { image.src = found; });
    return image;
  }

  function change(changes) {
    Object.assign(state, changes);
    data.changed?.({ ...state });
    draw();
  }

  function chooser(label, key) {
    const made = compareElement("label", "", label);
    const select = compareElement("select", `wb-compare-${key}`);
    data.items.forEach((item, place) => {
      const option = compareElement("option", "", item.label);
      option.value = place;
      option.selected = place === state[key];
      select.append(option);
    });
    select.addEventListener("change", () => change({ [key]: Number(select.value) }));
    made.append(select);
    return made;
  }

  function drawBar() {
    const modes = COMPARE_MODES.map(([mode, text]) => {
      const button = compareElement("button", "wb-compare-mode", text);
      button.type = "button";
      button.dataset.mode = mode;
      button.disabled = mode !== "side" && count < 2;
      button.setAttribute("aria-pressed", String(mode === state.mode));
      button.addEventListener("click", () => change({ mode }));
      return button;
    });
    bar.replaceChildren(...modes);
    if (state.mode === "slider" || state.mode === "difference") bar.append(chooser("left", "a"), chooser("right", "b"));
    if (state.mode !== "blink") return;
    const label = compareElement("label", "", "pictures a second");
    const speed = compareElement("input", "wb-compare-speed");
    Object.assign(speed, { type: "range", min: 0.5, max: 8, step: 0.5, value: state.speed });
    speed.addEventListener("change", () => change({ speed: Number(speed.value) }));
    label.append(speed);
    bar.append(label);
  }

  function figure(place) {
    const made = compareElement("figure", "wb-compare-figure");
    const text = compareElement("figcaption", "", data.items[place].label);
    if (data.items[place].note) text.append(compareElement("small", "", data.items[place].note));
    made.append(picture(place), text);
    return made;
  }

  function sideBySide() {
    const grid = compareElement("div", "wb-compare-grid");
    grid.append(...data.items.map((_, place) => figure(place)));
    stage.replaceChildren(grid);
  }

  // The right picture lies on the left one and is cut off at the handle.
  function slider() {
    const frame = compareElement("div", "wb-compare-frame");
    const upper = picture(state.b, "wb-compare-picture wb-compare-upper");
    const line = compareElement("div", "wb-compare-line");
    const handle = compareElement("input", "wb-compare-handle");
    Object.assign(handle, { type: "range", min: 0, max: 100, step: 0.5, value: 50 });
    handle.setAttribute("aria-label", `${data.items[state.a].label} left of it, ${data.items[state.b].label} right of it`);
    const cut = () => {
      upper.style.clipPath = `inset(0 0 0 ${handle.value}%)`;
      line.style.left = `${handle.value}%`;
    };
    handle.addEventListener("input", cut);
    handle.addEventListener("keydown", (event) => event.stopPropagation()); // arrows are the handle's, not the notebook's
    cut();
    frame.append(picture(state.a), upper, line, handle);
    stage.replaceChildren(frame);
    note.textContent = `${data.items[state.a].label} | ${data.items[state.b].label}`;
  }

  async function pixels(place) {
    const image = new Image();
    image.src = await url(place);
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, canvas.width, canvas.height);
  }

  // As `workbench.comparison.difference` does it: the largest difference of the channels, in the colours of the ramp.
  async function difference() {
    const mine = drawing;
    const [one, other] = await Promise.all([pixels(state.a), pixels(state.b)]);
    if (mine !== drawing) return;
    if (one.width !== other.width || one.height !== other.height) {
      stage.replaceChildren();
      note.textContent = "The pictures have different sizes: there is no map of their differences.";
      return;
    }
    const levels = new Uint8Array(one.width * one.height);
    let largest = 0;
    let changed = 0;
    for (let at = 0; at < levels.length; at += 1) {
      for (let channel = 0; channel < 3; channel += 1) {
        const apart = Math.abs(one.data[4 * at + channel] - other.data[4 * at + channel]);
        if (apart > levels[at]) levels[at] = apart;
      }
      if (levels[at] > largest) largest = levels[at];
      if (levels[at] > data.tolerance) changed += 1;
    }
    const canvas = compareElement("canvas", "wb-compare-picture wb-compare-map");
    [canvas.width, canvas.height] = [one.width, one.height];
    const map = new ImageData(one.width, one.height);
    const full = Math.max(largest, data.least);
    for (let at = 0; at < levels.length; at += 1) {
      const colour = data.ramp[Math.floor((510 * levels[at] + full) / (2 * full))]; // halves up, as in Python
      for (let channel = 0; channel < 3; channel += 1) map.data[4 * at + channel] = colour[channel];
      map.data[4 * at + 3] = 255;
    }
    canvas.getContext("2d").putImageData(map, 0, 0);
    canvas.setAttribute("role", "img");
    stage.replaceChildren(canvas);
    const share = ((100 * changed) / levels.length).toFixed(1);
    note.textContent = largest === 0 ? "equal, bit for bit"
      : `${share} % of the pixels differ by more than ${data.tolerance} level, at most by ${largest} of 255; white is ${full}`;
    canvas.setAttribute("aria-label", note.textContent);
  }

  function blink() {
    const frame = compareElement("div", "wb-compare-frame");
    const images = data.items.map((_, place) => picture(place, "wb-compare-picture wb-compare-blinking"));
    let shown = -1;
    const next = () => {
      shown = (shown + 1) % count;
      images.forEach((image, place) => image.classList.toggle("wb-compare-shown", place === shown));
      note.textContent = data.items[shown].label;
    };
    frame.append(...images);
    stage.replaceChildren(frame);
    next();
    timer = setInterval(next, 1000 / state.speed);
  }

  function draw() {
    clearInterval(timer);
    drawing += 1;
    note.textContent = "";
    drawBar();
    if (!count) {
      stage.replaceChildren();
      note.textContent = "Choose pictures to compare.";
      return;
    }
    ({ side: sideBySide, slider, difference, blink })[count < 2 ? "side" : state.mode]();
  }

  draw();
  return () => { clearInterval(timer); drawing += 1; };
}
