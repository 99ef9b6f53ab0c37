// The browser's half of the pixel protocol (see pixels.py). Each view makes one `Pixels` and closes it when it goes.

class Pixels {
  constructor(model) {
    this.model = model;
    this.urls = new Map(); // id -> object URL
    this.waiting = new Map(); // id -> images that want it
    this.onMessage = (content, buffers) => this.receive(content, buffers);
    model.on("msg:custom", this.onMessage);
    this.seen = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        this.seen.unobserve(entry.target);
        this.fetch(entry.target);
      }
    }, { rootMargin: "200px", scrollMargin: "200px" }); // the second one counts in nested scrollers
  }

  // Fill `image` with the picture `id` once it comes into sight.
  show(image, id) {
    image.dataset.id = id;
    this.seen.observe(image);
  }

  fetch(image) {
    const id = image.dataset.id;
    if (this.urls.has(id)) {
      image.src = this.urls.get(id);
      return;
    }
    if (!this.waiting.has(id)) {
      this.waiting.set(id, new Set());
      this.model.send({ type: "want", id });
    }
    this.waiting.get(id).add(image);
  }

  receive(content, buffers) {
    const { type, id } = content;
    if (type === "gone") this.waiting.delete(id);
    if (type !== "pixels") return;
    const images = this.waiting.get(id);
    if (!images) return; // another view of this model asked
    const url = URL.createObjectURL(new Blob([buffers[0]], { type: content.mime }));
    this.urls.set(id, url);
    this.waiting.delete(id);
    for (const image of images) if (image.dataset.id === id) image.src = url;
  }

  // Drop what is kept of `id`.
  forget(id) {
    if (this.urls.has(id)) URL.revokeObjectURL(this.urls.get(id));
    this.urls.delete(id);
    this.waiting.delete(id);
  }

  close() {
    this.seen.disconnect();
    this.model.off("msg:custom", this.onMessage);
    for (const id of [...this.urls.keys()]) this.forget(id);
    this.waiting.clear();
  }
}

function element(tag, name, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
}

