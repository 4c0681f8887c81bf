/** The app in a frame of its own within a notebook; its parts come by messages. */
const LONGEST = 120_000;

function asker(model) {
  const waiting = new Map();
  let count = 0;
  const heard = (message, buffers) => {
    const done = waiting.get(message?.id);
    if (!done) return;
    waiting.delete(message.id);
    done({ fault: message.fault, data: buffers?.[0] ?? null });
  };
  model.on("msg:custom", heard);
  const ask = (path) =>
    new Promise((resolve) => {
      // of this view alone: all views of a widget hear every answer
      const id = `${Math.random().toString(36).slice(2)}-${++count}`;
      const late = setTimeout(() => {
        waiting.delete(id);
        resolve({ fault: "no answer came; is the kernel running and free?", data: null });
      }, LONGEST);
      waiting.set(id, (answer) => (clearTimeout(late), resolve(answer)));
      model.send({ id, path });
    });
  return { ask, stop: () => model.off("msg:custom", heard) };
}

async function render({ model, el }) {
  const { ask, stop } = asker(model);
  const page = await ask("page.html");
  if (page.fault) {
    el.textContent = page.fault;
    return stop;
  }
  const frame = document.createElement("iframe");
  frame.title = "nucleate";
  frame.style.cssText = "width: 100%; border: 0; display: block";
  frame.style.height = `${model.get("height")}px`;
  frame.nucleate = ask;
  frame.srcdoc = new TextDecoder().decode(page.data);
  el.append(frame);
  return stop;
}

export default { render };
