// Job table. `jobs` is [{id, title, state, step, steps, reason, digest, worker}] in the order to show; buttons send
// {type: "cancel" | "retry", job}. Rows are kept by id, so that a table that changes ten times a second never flickers.

const OPEN = ["pending", "running"];
const AGAIN = ["failed", "canceled"];

function render({ model, el }) {
  const pixels = new Pixels(model);
  const table = element("table", "wb-queue-table");
  table.setAttribute("aria-label", "Jobs");
  const head = element("tr");
  for (const name of ["", "Job", "What", "State", ""]) head.append(element("th", "", name));
  const header = element("thead");
  header.append(head);
  const body = element("tbody");
  table.append(header, body);
  const scroller = element("div", "wb-queue-scroll");
  scroller.append(table);
  const empty = element("div", "wb-empty", "The queue is empty. Submit with queue.submit(...) or `workbench queue submit`.");
  el.append(scroller, empty);
  const rows = new Map(); // job -> its cells

  function row(job) {
    const line = element("tr");
    line.dataset.job = job.id;
    const image = element("img", "wb-queue-thumb");
    image.alt = "";
    const bar = element("progress");
    bar.max = 1;
    const state = element("span", "wb-queue-state");
    const reason = element("div", "wb-queue-reason");
    const title = element("span");
    const button = element("button", "wb-queue-button");
    button.type = "button";
    button.addEventListener("click", () => model.send({ type: button.dataset.order, job: job.id }));
    const cells = [image, element("span", "", String(job.id)), title, state, button].map((part) => {
      const cell = element("td");
      cell.append(part);
      line.append(cell);
      return cell;
    });
    cells[2].append(reason);
    cells[3].append(bar);
    return { line, image, bar, state, reason, title, button, shown: "" };
  }

  function fill(made, job) {
    made.line.className = `wb-queue-${job.state}`;
    made.title.textContent = job.title;
    made.reason.textContent = job.reason;
    made.reason.hidden = !job.reason;
    const going = job.state === "running" && job.steps > 0;
    made.state.textContent = going ? `${job.step} of ${job.steps}` : job.state;
    made.bar.hidden = !going;
    made.bar.value = going ? job.step / job.steps : 0;
    made.line.title = job.worker ? `run by ${job.worker}` : "";
    const order = OPEN.includes(job.state) ? "cancel" : AGAIN.includes(job.state) ? "retry" : "";
    made.button.hidden = !order;
    made.button.dataset.order = order;
    made.button.textContent = order === "cancel" ? "Cancel" : "Retry";
    made.button.setAttribute("aria-label", `${made.button.textContent} job ${job.id}`);
    if (job.state === "completed" && job.digest && made.shown !== job.digest) {
      made.shown = job.digest;
      pixels.show(made.image, job.digest);
    }
  }

  function draw() {
    const jobs = model.get("jobs");
    const present = new Set(jobs.map((job) => job.id));
    for (const [id, made] of rows) {
      if (present.has(id)) continue;
      made.line.remove();
      rows.delete(id);
    }
    jobs.forEach((job, place) => {
      if (!rows.has(job.id)) rows.set(job.id, row(job));
      const made = rows.get(job.id);
      fill(made, job);
      if (body.children[place] !== made.line) body.insertBefore(made.line, body.children[place] ?? null);
    });
    empty.hidden = jobs.length > 0;
    table.hidden = !jobs.length;
  }

  const urls = new Map(); // job -> object URL of its passing preview
  function preview(content, buffers) {
    if (content.type !== "preview") return;
    const made = rows.get(Number(content.id));
    if (!made || made.shown) return;
    URL.revokeObjectURL(urls.get(content.id) ?? "");
    urls.set(content.id, URL.createObjectURL(new Blob([buffers[0]], { type: content.mime })));
    made.image.src = urls.get(content.id);
  }

  model.on("change:jobs", draw);
  model.on("msg:custom", preview);
  draw();
  return () => {
    model.off("change:jobs", draw);
    model.off("msg:custom", preview);
    for (const url of urls.values()) URL.revokeObjectURL(url);
    pixels.close();
  };
}

export default { render };
