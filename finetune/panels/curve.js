// Loss over steps: `training` and `held_out` are [[step, loss], ...], `steps` is where the run ends. Drawn as SVG, so
// that it scales, prints and can be read by a screen reader; a pointer shows the values of the nearest step.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 720;
const HEIGHT = 260;
const MARGIN = { left: 58, right: 24, top: 12, bottom: 34 };

function node(name, attributes = {}, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}

// About `count` round numbers from `low` to `high`.
function ticks(low, high, count) {
  const raw = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= raw);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, place) => (first + place) * step);
}

// A running mean over a tenth of the points: the loss of single steps is mostly noise.
function smooth(points) {
  const half = Math.max(1, Math.floor(points.length / 20));
  return points.map(([step], place) => {
    const near = points.slice(Math.max(0, place - half), place + half + 1);
    return [step, near.reduce((sum, point) => sum + point[1], 0) / near.length];
  });
}

function short(value) {
  return Number(value.toPrecision(3)).toString();
}

function render({ model, el }) {
  const box = document.createElement("div");
  box.className = "ft-curve";
  el.append(box);

  function draw() {
    const training = model.get("training");
    const heldOut = model.get("held_out");
    const all = [...training, ...heldOut];
    const svg = node("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
    box.replaceChildren(svg);
    svg.append(node("title", {}, describe(training, heldOut)));
    if (!all.length) {
      svg.append(node("text", { x: WIDTH / 2, y: HEIGHT / 2, "text-anchor": "middle", class: "ft-faint" }, "No loss yet."));
      return;
    }
    const losses = all.map((point) => point[1]);
    const low = Math.min(...losses);
    const high = Math.max(...losses);
    const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
    const last = Math.max(...all.map((point) => point[0]), 1);
    const right = Math.max(last, Math.min(model.get("steps"), 4 * last)); // a long run's beginning is no vertical line
    const x = (step) => MARGIN.left + (step / right) * (WIDTH - MARGIN.left - MARGIN.right);
    const y = (loss) => {
      const share = (loss - (low - room)) / (high - low + 2 * room);
      return HEIGHT - MARGIN.bottom - share * (HEIGHT - MARGIN.top - MARGIN.bottom);
    };
    for (const value of ticks(low - room, high + room, 5)) {
      svg.append(node("line", { x1: MARGIN.left, x2: WIDTH - MARGIN.right, y1: y(value), y2: y(value), class: "ft-grid" }));
      svg.append(node("text", { x: MARGIN.left - 6, y: y(value) + 4, "text-anchor": "end" }, short(value)));
    }
    for (const value of ticks(0, right, 6)) {
      svg.append(node("text", { x: x(value), y: HEIGHT - MARGIN.bottom + 16, "text-anchor": "middle" }, short(value)));
    }
    svg.append(node("text", { x: WIDTH - MARGIN.right, y: HEIGHT - 4, "text-anchor": "end", class: "ft-faint" }, "step"));
    const line = (points, name) => {
      const path = points.map(([step, loss]) => `${x(step)},${y(loss)}`).join(" ");
      svg.append(node("polyline", { points: path, class: name }));
    };
    line(training, "ft-raw");
    line(smooth(training), "ft-training");
    line(heldOut, "ft-held");
    for (const [step, loss] of heldOut) svg.append(node("circle", { cx: x(step), cy: y(loss), r: 3, class: "ft-held" }));
    legend(svg);
    pointer(svg, { training, heldOut, x, right });
  }

  function legend(svg) {
    const entries = [["ft-training", "training (running mean)"], ["ft-held", "held-out, fixed noise"]];
    entries.forEach(([name, text], place) => {
      const top = MARGIN.top + 8 + 16 * place;
      svg.append(node("line", { x1: WIDTH - 190, x2: WIDTH - 168, y1: top, y2: top, class: name }));
      svg.append(node("text", { x: WIDTH - 162, y: top + 4 }, text));
    });
  }

  function pointer(svg, { training, heldOut, x, right }) {
    const mark = node("line", { y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom, class: "ft-mark", visibility: "hidden" });
    const label = node("text", { y: MARGIN.top + 8, class: "ft-label" });
    svg.append(mark, label);
    const nearest = (points, step) =>
      points.reduce((best, point) => (!best || Math.abs(point[0] - step) < Math.abs(best[0] - step) ? point : best), null);
    svg.addEventListener("pointermove", (event) => {
      const bounds = svg.getBoundingClientRect();
      const across = ((event.clientX - bounds.left) / bounds.width) * WIDTH;
      const step = ((across - MARGIN.left) / (WIDTH - MARGIN.left - MARGIN.right)) * right;
      const found = nearest(training, step) ?? nearest(heldOut, step);
      if (!found) return;
      const held = nearest(heldOut, found[0]);
      mark.setAttribute("x1", x(found[0]));
      mark.setAttribute("x2", x(found[0]));
      mark.setAttribute("visibility", "visible");
      label.setAttribute("x", MARGIN.left + 8);
      label.textContent = `step ${found[0]}: ${short(found[1])}${held ? `, held-out ${short(held[1])} (step ${held[0]})` : ""}`;
    });
    svg.addEventListener("pointerleave", () => {
      mark.setAttribute("visibility", "hidden");
      label.textContent = "";
    });
  }

  function describe(training, heldOut) {
    const last = (points) => (points.length ? short(points[points.length - 1][1]) : "none");
    return `Loss over steps. Training: ${last(training)}. Held-out: ${last(heldOut)}.`;
  }

  let waiting = 0;
  const soon = () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(draw);
  };
  const traits = ["training", "held_out", "steps"];
  traits.forEach((name) => model.on(`change:${name}`, soon));
  draw();
  return () => {
    cancelAnimationFrame(waiting);
    traits.forEach((name) => model.off(`change:${name}`, soon));
  };
}

export default { render };
