// Mask brush (see mask.py). The mask lives on a canvas of the picture's own pixels; what is seen is scaled by CSS.

const KEEP = 20; // steps back

function element(tag, name, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
}

function labelled(text, input, tip) {
  const label = element("label", "wb-mask-label", text);
  label.title = tip;
  label.append(input);
  return label;
}

function slider(model, name, least, most, tip) {
  const input = element("input");
  Object.assign(input, { type: "range", min: least, max: most, value: model.get(name) });
  input.setAttribute("aria-label", tip);
  input.addEventListener("input", () => {
    model.set(name, Number(input.value));
    model.save_changes();
  });
  const follow = () => { input.value = model.get(name); };
  model.on(`change:${name}`, follow);
  return [labelled(name, input, tip), () => model.off(`change:${name}`, follow)];
}

function render({ model, el }) {
  const stage = element("div", "wb-mask-stage");
  const picture = element("img", "wb-mask-picture");
  const canvas = element("canvas", "wb-mask-canvas");
  const mask = document.createElement("canvas"); // white where painted, transparent elsewhere
  const pen = mask.getContext("2d", { willReadFrequently: true });
  const view = canvas.getContext("2d");
  const cursor = element("div", "wb-mask-cursor");
  const past = [];
  let erasing = false;
  let last = null; // where the pen was, while it is down
  let sent = null; // the bytes that this view sent, so that their echo is not drawn again
  picture.alt = "Picture to paint on";
  canvas.tabIndex = 0;
  canvas.setAttribute("aria-label", "Mask: drag to paint; [ and ] change the brush, z takes back");
  stage.append(picture, canvas, cursor);

  function button(text, name, tip, act) {
    const made = element("button", `wb-mask-button ${name}`, text);
    made.type = "button";
    made.title = tip;
    made.addEventListener("click", act);
    return made;
  }
  const paint = button("Paint", "wb-mask-paint", "Paint what is to be drawn anew", () => choose(false));
  const erase = button("Erase", "wb-mask-erase", "Take away from the mask", () => choose(true));
  const undo = button("Undo", "wb-mask-undo", "Take back the last step (z)", back);
  const invert = button("Invert", "wb-mask-invert", "Swap what stays and what is drawn anew", () => change(flip));
  const clear = button("Clear", "wb-mask-clear", "Paint nothing", () => change(wipe));
  const [size, closeSize] = slider(model, "size", 1, 128, "Diameter of the brush in pixels");
  const [softness, closeSoftness] = slider(model, "softness", 0, 32, "Blur of the mask's edge in pixels");
  const tools = element("div", "wb-mask-tools");
  tools.append(paint, erase, size, softness, undo, invert, clear);
  el.append(element("div", "wb-mask"));
  el.firstChild.append(tools, stage);

  function choose(wanted) {
    erasing = wanted;
    paint.setAttribute("aria-pressed", String(!erasing));
    erase.setAttribute("aria-pressed", String(erasing));
  }

  function draw() {
    view.clearRect(0, 0, canvas.width, canvas.height);
    view.globalCompositeOperation = "source-over";
    view.drawImage(mask, 0, 0);
    view.globalCompositeOperation = "source-in";
    view.fillStyle = "rgb(230, 30, 60)";
    view.fillRect(0, 0, canvas.width, canvas.height);
    undo.disabled = !past.length;
  }

  function remember() {
    past.push(pen.getImageData(0, 0, mask.width, mask.height));
    if (past.length > KEEP) past.shift();
  }

  function wipe() { pen.clearRect(0, 0, mask.width, mask.height); }

  function flip() {
    pen.globalCompositeOperation = "xor";
    pen.fillStyle = "white";
    pen.fillRect(0, 0, mask.width, mask.height);
    pen.globalCompositeOperation = "source-over";
  }

  function change(act) {
    remember();
    act();
    draw();
    send();
  }

  function back() {
    const before = past.pop();
    if (before) pen.putImageData(before, 0, 0);
    draw();
    send();
  }

  function send() {
    const flat = document.createElement("canvas"); // white on black, without transparency
    flat.width = mask.width;
    flat.height = mask.height;
    const sheet = flat.getContext("2d");
    sheet.fillStyle = "black";
    sheet.fillRect(0, 0, flat.width, flat.height);
    sheet.drawImage(mask, 0, 0);
    flat.toBlob(async (blob) => {
      sent = new DataView(await blob.arrayBuffer());
      model.set("painted", sent);
      model.save_changes();
    }, "image/png");
  }

  function place(event) {
    const box = canvas.getBoundingClientRect();
    const scale = mask.width / box.width;
    return { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale, scale };
  }

  function stroke(from, to) {
    pen.globalCompositeOperation = erasing ? "destination-out" : "source-over";
    pen.strokeStyle = "white";
    pen.lineCap = pen.lineJoin = "round";
    pen.lineWidth = model.get("size");
    pen.beginPath();
    pen.moveTo(from.x, from.y);
    pen.lineTo(to.x + 0.001, to.y); // a click alone is a dot
    pen.stroke();
    pen.globalCompositeOperation = "source-over";
    draw();
  }

  function follow(event) {
    const at = place(event);
    const side = model.get("size") / at.scale;
    const box = stage.getBoundingClientRect();
    Object.assign(cursor.style, {
      width: `${side}px`, height: `${side}px`, display: "block",
      left: `${event.clientX - box.left - side / 2}px`, top: `${event.clientY - box.top - side / 2}px`,
    });
    return at;
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    remember();
    last = follow(event);
    stroke(last, last);
  });
  canvas.addEventListener("pointermove", (event) => {
    const at = follow(event);
    if (!last) return;
    stroke(last, at);
    last = at;
  });
  const lift = () => {
    if (!last) return;
    last = null;
    send();
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
  canvas.addEventListener("pointerleave", () => { cursor.style.display = "none"; });
  canvas.addEventListener("keydown", (event) => {
    const step = { "[": -4, "]": 4 }[event.key];
    if (step) {
      model.set("size", Math.min(128, Math.max(1, model.get("size") + step)));
      model.save_changes();
    } else if (event.key === "z") back();
    else return;
    event.preventDefault();
    event.stopPropagation(); // JupyterLab has shortcuts of its own
  });

  let url = "";
  function showPicture() {
    if (url) URL.revokeObjectURL(url);
    url = URL.createObjectURL(new Blob([model.get("shown")]));
    picture.src = url;
    past.length = 0;
    for (const sheet of [mask, canvas]) {
      sheet.width = model.get("width");
      sheet.height = model.get("height");
    }
    stage.style.width = `min(100%, ${Math.max(256, Math.min(512, model.get("width") * 3))}px)`;
    stage.style.aspectRatio = `${mask.width} / ${mask.height}`;
    showMask();
  }

  // What Python or another view painted.
  async function showMask() {
    const bytes = model.get("painted");
    if (bytes === sent && bytes !== null) return;
    wipe();
    if (bytes && bytes.byteLength) {
      const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
      if (image.width === mask.width && image.height === mask.height) {
        pen.drawImage(image, 0, 0);
        const pixels = pen.getImageData(0, 0, mask.width, mask.height);
        for (let at = 0; at < pixels.data.length; at += 4) {
          pixels.data[at + 3] = pixels.data[at]; // grey level to transparency
          pixels.data[at] = pixels.data[at + 1] = pixels.data[at + 2] = 255;
        }
        pen.putImageData(pixels, 0, 0);
      }
    }
    draw();
  }

  model.on("change:shown", showPicture);
  model.on("change:painted", showMask);
  choose(false);
  showPicture();
  return () => {
    model.off("change:shown", showPicture);
    model.off("change:painted", showMask);
    closeSize();
    closeSoftness();
    URL.revokeObjectURL(url);
  };
}

export default { render };
