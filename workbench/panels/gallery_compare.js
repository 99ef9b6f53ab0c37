// The widget around compareView: pictures come over the kernel's line when they are needed, without loss.

function render({ model, el }) {
  const waiting = new Map(); // id -> function that takes the URL
  const urls = [];
  const received = (content, buffers) => {
    if (content.type !== "pixels" || !waiting.has(content.id)) return;
    const url = URL.createObjectURL(new Blob([buffers[0]], { type: content.mime }));
    urls.push(url);
    waiting.get(content.id)(url);
    waiting.delete(content.id);
  };
  const box = element("div");
  el.append(box);
  let end = () => {};

  function draw() {
    end();
    box.replaceChildren();
    const items = model.get("items");
    end = compareView(box, {
      items,
      ...model.get("constants"),
      state: model.get("view"),
      load: (place) => new Promise((done) => {
        waiting.set(items[place].id, done);
        model.send({ type: "want", id: items[place].id });
      }),
      changed: (state) => {
        model.set("view", state);
        model.save_changes();
      },
    });
  }

  model.on("msg:custom", received);
  model.on("change:items", draw);
  draw();
  return () => {
    model.off("msg:custom", received);
    model.off("change:items", draw);
    end();
    urls.forEach((url) => URL.revokeObjectURL(url));
  };
}

export default { render };
