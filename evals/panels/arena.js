// The arena: two pictures under one zoom, judged by keyboard or mouse; after the reveal, ratings with intervals.
//
// Traits from Python: `state` (phase vote, done or over; the pair that is shown and the one after it) and `result`
// (empty until the reveal). Pictures come by ids such as "12:left"; nothing here knows who drew them.

const CHOICES = [
  ["left", "←", "Left is better", "ArrowLeft"],
  ["tie", "↓", "Tie", "ArrowDown"],
  ["right", "→", "Right is better", "ArrowRight"],
  ["skip", "Space", "Skip", " "],
];
const UNDO_KEYS = ["Backspace", "u", "U"];
const SVG = "http://www.w3.org/2000/svg";
const NEAREST = 4; // from so many screen pixels per pixel on, pixels are shown as squares

function render({ model, el }) {
  const pixels = new Pixels(model);
  const box = element("div", "wb-arena");
  box.tabIndex = 0;
  box.dataset.lmSuppressShortcuts = "true"; // JupyterLab would move to another cell
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", "Blind comparison of two pictures");
  el.append(box);

  let zoom = { scale: 1, x: 0, y: 0 };
  let stage = null;
  let images = [];
  let since = 0; // when both pictures were there, in milliseconds
  let sent = false; // a vote is under way; another key press waits for the next pair

  const state = () => model.get("state");

  function button(name, text, key, act) {
    const made = element("button", `wb-arena-button ${name}`);
    made.type = "button";
    if (key) made.append(element("kbd", "", key));
    made.append(element("span", "", text));
    made.addEventListener("click", () => { act(); box.focus(); });
    return made;
  }

  function ready() {
    return images.length === 2 && images.every((image) => image.complete && image.naturalWidth > 0);
  }

  function vote(choice) {
    if (state().phase !== "vote" || sent || !ready()) return;
    sent = true;
    model.send({ type: "vote", number: state().pair.number, choice, seconds: (performance.now() - since) / 1000 });
  }

  function undo() {
    if (state().phase !== "over" && state().answered && !sent) model.send({ type: "undo" });
  }

  // One zoom for both pictures: x and y move by shares of a frame, so that frames of any size show the same place.
  function applyZoom() {
    const { scale, x, y } = zoom;
    for (const image of images) {
      image.style.transform = `translate(${x * 100}%, ${y * 100}%) scale(${scale})`;
      const shown = (image.clientWidth * scale) / (image.naturalWidth || 1);
      image.style.imageRendering = shown >= NEAREST ? "pixelated" : "auto";
    }
    const slider = box.querySelector(".wb-arena-zoom input");
    if (slider) slider.value = scale;
    stage?.classList.toggle("wb-zoomed", scale > 1);
  }

  function setZoom(scale, at = { x: 0, y: 0 }) {
    const next = Math.min(8, Math.max(1, scale));
    const bound = (next - 1) / 2;
    const keep = (old, place) => Math.max(-bound, Math.min(bound, place - ((place - old) * next) / zoom.scale));
    zoom = { scale: next, x: keep(zoom.x, at.x), y: keep(zoom.y, at.y) };
    applyZoom();
  }

  function pan(dx, dy) {
    const bound = (zoom.scale - 1) / 2;
    const keep = (value) => Math.max(-bound, Math.min(bound, value));
    zoom = { ...zoom, x: keep(zoom.x + dx), y: keep(zoom.y + dy) };
    applyZoom();
  }

  // Where in a frame an event was, from its middle, in shares of its side.
  function placeIn(frame, event) {
    const bounds = frame.getBoundingClientRect();
    return {
      x: (event.clientX - bounds.left) / bounds.width - 0.5,
      y: (event.clientY - bounds.top) / bounds.height - 0.5,
    };
  }

  function frame(side, id) {
    const made = element("div", "wb-arena-frame");
    const image = element("img");
    image.alt = `The picture on the ${side}`;
    image.draggable = false;
    image.addEventListener("load", arrived);
    made.append(image);
    images.push(image);
    made.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && zoom.scale === 1) return; // the page scrolls as ever
      event.preventDefault();
      setZoom(zoom.scale * Math.exp(-event.deltaY / 300), placeIn(made, event));
    }, { passive: false });
    made.addEventListener("dblclick", (event) => setZoom(zoom.scale > 1 ? 1 : 3, placeIn(made, event)));
    made.addEventListener("pointerdown", (event) => {
      made.setPointerCapture(event.pointerId);
      box.focus();
    });
    made.addEventListener("pointermove", (event) => {
      if (!made.hasPointerCapture(event.pointerId)) return;
      pan(event.movementX / made.clientWidth, event.movementY / made.clientHeight);
    });
    pixels.show(image, id);
    return made;
  }

  // Both pictures appear together, so that the faster one gets no head start.
  function arrived() {
    if (!ready()) return;
    stage.classList.remove("wb-arena-waiting");
    since = performance.now();
    applyZoom();
  }

  function progress({ answered, total, skipped }) {
    const line = element("div", "wb-arena-progress");
    const bar = element("progress");
    Object.assign(bar, { max: total, value: answered });
    bar.setAttribute("aria-label", "Pairs judged");
    line.append(bar, element("span", "wb-arena-count", `${answered} of ${total}${skipped ? `, ${skipped} skipped` : ""}`));
    return line;
  }

  function drawPair() {
    const { pair, question, answered } = state();
    const head = element("div", "wb-arena-head");
    head.append(element("div", "wb-arena-question", question), progress(state()));
    box.append(head, element("div", "wb-arena-prompt", pair.prompt));
    if (pair.references.length) {
      const strip = element("div", "wb-arena-references");
      strip.append(element("span", "", "made from"));
      for (const id of pair.references) {
        const image = element("img");
        image.alt = "The picture that both were made from";
        strip.append(image);
        pixels.show(image, id);
      }
      box.append(strip);
    }
    stage = element("div", "wb-arena-stage wb-arena-waiting");
    stage.append(frame("left", pair.left), frame("right", pair.right));
    const keys = element("div", "wb-arena-keys");
    for (const [choice, key, text] of CHOICES) keys.append(button(`wb-${choice}`, text, key, () => vote(choice)));
    const last = button("wb-undo", "Undo", "U", undo);
    last.disabled = !answered;
    keys.append(last);
    const slider = element("input");
    Object.assign(slider, { type: "range", min: 1, max: 8, step: 0.1, value: zoom.scale });
    slider.addEventListener("input", () => setZoom(Number(slider.value)));
    slider.addEventListener("change", () => box.focus());
    const label = element("label", "wb-arena-zoom", "zoom");
    label.append(slider);
    keys.append(label);
    const below = ending("Stop here and show the results");
    below.append(element("span", "wb-arena-hint", "Click a picture to use the keys."));
    box.append(stage, keys, below);
    if (state().next.number !== undefined) {
      for (const id of [state().next.left, state().next.right]) prefetch(id);
    }
  }

  // Ask for pixels that are not shown yet; they stay with `pixels` until they are.
  function prefetch(id) {
    const image = new Image();
    image.dataset.id = id;
    pixels.fetch(image);
  }

  // The reveal ends the ballot, so it asks once more.
  function ending(text) {
    const line = element("div", "wb-arena-ending");
    const ask = button("wb-end", text, "", () => {
      const sure = button("wb-reveal", "Yes, show who is who", "", () => model.send({ type: "reveal" }));
      const back = button("wb-back", "Go on judging", "", () => line.replaceChildren(ask));
      line.replaceChildren(element("span", "", "You cannot vote in this contest any more after that."), sure, back);
    });
    ask.disabled = !(state().answered - state().skipped);
    line.prepend(ask);
    return line;
  }

  function drawDone() {
    const last = button("wb-undo", "Undo the last vote", "U", undo);
    const said = element("div", "wb-arena-question", "All pairs are judged. Thank you!");
    box.append(said, progress(state()), last, ending("Show the results"));
  }

  function svg(tag, attributes) {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  }

  // One row of the interval plot; all rows share the scale.
  function interval({ rating, low, high }, from, to) {
    const at = (value) => 4 + (292 * (value - from)) / (to - from || 1);
    const plot = svg("svg", { viewBox: "0 0 300 24", class: "wb-arena-plot", role: "img" });
    const title = svg("title", {});
    title.textContent = `${Math.round(rating)}, 95 % interval ${Math.round(low)} to ${Math.round(high)}`;
    plot.append(
      title,
      svg("line", { x1: at(1000), x2: at(1000), y1: 0, y2: 24, class: "wb-arena-middle" }),
      svg("line", { x1: at(low), x2: at(high), y1: 12, y2: 12, class: "wb-arena-line" }),
      ...[low, high].map((end) => svg("line", { x1: at(end), x2: at(end), y1: 7, y2: 17, class: "wb-arena-line" })),
      svg("circle", { cx: at(rating), cy: 12, r: 4.5, class: "wb-arena-dot" }),
    );
    return plot;
  }

  function drawResult() {
    const { title, ratings, sentences, saved } = model.get("result");
    if (!ratings) {
      box.append(element("div", "wb-arena-question", "Computing the ratings…"));
      return;
    }
    box.append(element("div", "wb-arena-question", title ? `Results: ${title}` : "Results"));
    const from = Math.floor(Math.min(1000, ...ratings.map((each) => each.low)) / 50) * 50;
    const to = Math.ceil(Math.max(1000, ...ratings.map((each) => each.high)) / 50) * 50;
    const table = element("table", "wb-arena-table");
    const head = element("tr");
    const plotHead = element("th");
    const scale = element("div", "wb-arena-scale");
    scale.append(element("span", "", String(from)), element("span", "", String(to)));
    plotHead.append(scale);
    for (const text of ["rank", "contender", "rating", "95 % interval"]) head.append(element("th", "", text));
    head.append(plotHead);
    for (const text of ["won", "tied", "lost"]) head.append(element("th", "", text));
    table.append(element("thead"), element("tbody"));
    table.tHead.append(head);
    for (const each of ratings) {
      const row = element("tr");
      const ranks = each.rank_low === each.rank_high ? `${each.rank_low}` : `${each.rank_low} to ${each.rank_high}`;
      row.append(element("td", "", ranks), element("th", "", each.contender));
      row.append(element("td", "", String(Math.round(each.rating))));
      row.append(element("td", "", `${Math.round(each.low)} to ${Math.round(each.high)}`));
      const plot = element("td");
      plot.append(interval(each, from, to));
      row.append(plot);
      for (const count of [each.wins, each.ties, each.losses]) row.append(element("td", "", String(count)));
      table.tBodies[0].append(row);
    }
    const notes = element("ul", "wb-arena-notes");
    for (const sentence of sentences) notes.append(element("li", "", sentence));
    const files = button("wb-export", "Export votes and ratings", "", () => model.send({ type: "export" }));
    box.append(table, notes, files, element("div", "wb-arena-saved", saved));
  }

  function draw() {
    sent = false;
    for (const image of images) pixels.seen.unobserve(image);
    images = [];
    stage = null;
    zoom = { scale: 1, x: 0, y: 0 }; // every pair is seen as a whole first
    const focused = box.contains(document.activeElement);
    const { phase, answered } = state();
    for (const id of [...pixels.urls.keys()]) {
      if (Math.abs(Number(id.split(":")[0]) - answered) > 1) pixels.forget(id);
    }
    box.replaceChildren();
    if (phase === "vote") drawPair();
    else if (phase === "done") drawDone();
    else if (phase === "over") drawResult();
    if (focused) box.focus({ preventScroll: true });
  }

  function key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || state().phase === "over") return;
    if (event.target.tagName === "INPUT") return;
    if (event.target.tagName === "BUTTON" && (event.key === " " || event.key === "Enter")) return; // presses the button
    const found = CHOICES.find(([, , , name]) => name === event.key);
    if (!found && !UNDO_KEYS.includes(event.key) && !"+-0".includes(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.repeat) return; // a key that is held down is one vote
    if (found) vote(found[0]);
    else if (UNDO_KEYS.includes(event.key)) undo();
    else setZoom(event.key === "0" ? 1 : zoom.scale * (event.key === "+" ? 1.5 : 1 / 1.5));
  }

  box.addEventListener("keydown", key);
  model.on("change:state", draw);
  model.on("change:result", draw);
  draw();
  return () => {
    model.off("change:state", draw);
    model.off("change:result", draw);
    pixels.close();
  };
}

export default { render };
