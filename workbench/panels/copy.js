// A button that copies the trait `text`. Where the browser has no clipboard (plain http), a hidden field does it.

function render({ model, el }) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "lm-Widget jupyter-widgets jupyter-button widget-button wb-copy";
  const say = (text) => { button.textContent = text; };
  const label = () => say(model.get("label"));

  function byField(text) {
    const field = document.createElement("textarea");
    field.value = text;
    field.style.position = "fixed";
    field.style.opacity = "0";
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }

  async function copy() {
    const text = model.get("text");
    let done = false;
    try {
      await navigator.clipboard.writeText(text);
      done = true;
    } catch {
      done = byField(text);
    }
    say(done ? "Copied" : "Not allowed by the browser");
    setTimeout(label, 1500);
  }

  button.addEventListener("click", copy);
  model.on("change:label", label);
  label();
  el.append(button);
  return () => model.off("change:label", label);
}

export default { render };
