// What moves on a page of the course: explorers, films, bars of progress and forms.
//
// One widget a kernel, and it has no view. Python leaves a placeholder among a cell's outputs and describes the part in the
// trait `parts`; this module finds the placeholder and builds the part in it. So a notebook stores nothing that needs a kernel:
// without this module the placeholder shows its invitation, and the picture above it stays.

const LATE_MS = 8000;          // an answer that takes longer is spoken of
const FRAME_MS = 100;          // a film moves one step in this many milliseconds
const LOOK_MS = 20;            // so often it looks whether a step is due
const LEAP = 3;                // where drawing is slow it keeps its pace by leaving out steps, but goes at most this many at once
const REST_MS = 700;           // a pause of this length ends a gesture; the ghost shows how the plot looked before
const NARROW = 520;            // in a column of fewer pixels a plot keeps its height
const OUTPUT = ".jp-OutputArea-child";

export default {
  initialize({ model }) {
    const mounted = new Map();  // placeholder -> part
    const source = kernel(model);

    let over = false;

    const look = later(() => {
      if (over) return;
      for (const place of document.querySelectorAll(".v2g-part[data-part]")) {
        const spec = model.get("parts")[place.dataset.part];
        if (!spec || place.v2gLives) continue;
        place.v2gLives = true;              // another module of this page may know the same part
        mounted.set(place, build(place, spec, source));
      }
      describe();
    });

    const changed = () => {
      for (const [place, part] of mounted) part.update(model.get("parts")[place.dataset.part] ?? part.spec);
      look();
    };

    const observer = new MutationObserver(look);
    observer.observe(document.body, { childList: true, subtree: true });
    const ended = () => {
      over = true;
      observer.disconnect();
      for (const [place, part] of mounted) {
        part.end("The kernel has ended. Run this cell again to bring it back to life.");
        place.v2gLives = false;
      }
    };

    model.send({ want: "nothing" });      // so that Python knows that this page lives
    model.on("change:parts", changed);
    model.on("comm_live_update", ended);  // JupyterLab's word for a kernel that was restarted or shut down
    look();
    return ended;
  },
};

// ------------------------------------------------------------------------------------------------------------- sources
//
// A source answers two questions: `library()` gives the text of plotly.js, `ask(id, values)` what the part shows at these
// positions, as { words, figure }. Today the kernel is the only source; a stored grid of positions can be another.

function kernel(model) {
  const waiting = new Map();
  const me = Math.random().toString(36).slice(2);
  let turn = 0;

  model.on("msg:custom", (content, buffers) => {
    const answered = waiting.get(content.turn);
    waiting.delete(content.turn);
    answered?.(content, buffers);
  });

  const request = (content) => new Promise((resolve, reject) => {
    const key = `${me}-${turn += 1}`;
    waiting.set(key, (answer, buffers) => answer.trouble ? reject(new Error(answer.trouble)) : resolve([answer, buffers]));
    model.send({ ...content, turn: key });
  });

  return {
    library: async () => (await request({ want: "library" }))[1][0],
    ask: async (id, values) => {
      const [answer, buffers] = await request({ want: "answer", part: id, values });
      return { words: answer.words, figure: unpacked(answer.figure, buffers[0]), draw_ms: answer.draw_ms };
    },
  };
}

// Arrays travel in one buffer; in the figure stands where each begins, how many numbers it has and, for a table, its width.
function unpacked(value, buffer) {
  if (Array.isArray(value)) return value.map((one) => unpacked(one, buffer));
  if (value === null || typeof value !== "object") return value;
  if (!("v2g" in value)) return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, unpacked(one, buffer)]));
  const [start, count, width] = value.v2g;
  const from = buffer.byteOffset + start;
  const array = new Float64Array(buffer.buffer.slice(from, from + 8 * count));
  if (!width) return array;
  return Array.from({ length: count / width }, (_, row) => array.subarray(row * width, (row + 1) * width));
}

// plotly.js, fetched by the first part that draws and shared by all of this page.
async function library(source) {
  globalThis.v2gPlotly ??= load(source).catch((trouble) => {
    globalThis.v2gPlotly = undefined;
    throw trouble;
  });
  return globalThis.v2gPlotly;
}

async function load(source) {
  const text = await source.library();
  const wrapped = ["(() => { const module = { exports: {} };\n", text, "\n;globalThis.v2gPlotlyLoaded = module.exports; })();"];
  const script = document.createElement("script");
  script.src = URL.createObjectURL(new Blob(wrapped, { type: "text/javascript" }));
  await new Promise((resolve, reject) => {
    script.onload = resolve;
    script.onerror = () => reject(new Error("the browser could not read plotly.js"));
    document.head.append(script);
  });
  URL.revokeObjectURL(script.src);
  script.remove();
  return globalThis.v2gPlotlyLoaded;
}

// --------------------------------------------------------------------------------------------------------------- parts

function build(place, spec, source) {
  const make = { explorer, film: explorer, bar, form }[spec.kind];
  const part = make(place, spec, source);
  part.spec = spec;
  part.update ??= () => {};
  part.end ??= () => {};
  return part;
}

function explorer(place, spec, source) {
  const stage = element("div", { class: "v2g-plot", role: "img", "aria-label": spec.alt, hidden: "" });
  const words = element("p", { class: "v2g-words", role: "status" });
  const note = element("p", { class: "v2g-note", role: "status", hidden: "" });
  const board = controls(spec.controls, () => ask());
  const buttons = element("div", { class: "v2g-buttons" });
  const root = element("section", { class: "v2g-explorer", "aria-label": spec.label });
  root.append(stage, words, board.root, buttons, note);
  words.innerHTML = spec.words ?? "";

  const state = { busy: false, wanted: true, shown: null, ghost: null, painted: 0, width: 0, height: null, ended: false, turn: 0 };
  let plotly = null;

  const tell = (text, retry) => {
    note.hidden = !text;
    note.textContent = text;
    if (retry) note.append(" ", button("Try again", retry));
  };

  // One question at a time; when its answer is here, the newest position is asked for and all between are dropped.
  async function ask() {
    state.wanted = true;
    if (state.busy || state.ended) return;
    state.busy = true;
    while (state.wanted && !state.ended) {
      state.wanted = false;
      await answer(state.turn += 1);
    }
    state.busy = false;
  }

  async function answer(turn) {
    const late = setTimeout(() => tell(
      "No answer yet: the kernel may be busy with another cell. The picture stays as it was.", again), LATE_MS);
    try {
      plotly ??= await library(source);
      const asked = performance.now();
      const drawn = await source.ask(spec.id, board.values());
      if (turn !== state.turn) return;
      const answered = performance.now();
      await paint(drawn);
      tell("");
      performance.measure("v2g-ask", { start: asked, end: answered, detail: drawn.draw_ms });
      performance.measure("v2g-paint", { start: answered });
    } catch (trouble) {
      if (turn === state.turn) tell(`This cannot be drawn: ${trouble.message}.`, again);
    } finally {
      clearTimeout(late);
    }
  }

  function again() {
    tell("");
    if (!plotly) globalThis.v2gPlotly = undefined;  // its first try may have been lost on the way
    state.turn += 1;                                // an answer that comes after all is not waited for any more
    state.busy = false;
    ask();
  }

  async function paint(drawn) {
    if (drawn.figure) {
      const { layout } = drawn.figure;
      const data = drawn.figure.data.map((trace, index) => ({ ...spec.trims[index], ...trace }));
      if (stage.hidden) reveal();
      if (resized()) measure(layout.height);
      const size = { width: state.width, height: state.height, autosize: false };
      if (!state.ghost || performance.now() - state.painted > REST_MS) state.ghost = state.shown;
      await plotly.react(stage, data, { ...layout, ...size, template: spec.template }, { displayModeBar: false });
      if (spec.ghost) haunt(stage, state.ghost);
      state.shown = data;
      state.painted = performance.now();
    }
    words.innerHTML = drawn.words ?? "";
    words.style.minHeight = `${words.offsetHeight}px`;    // the longest sentence keeps its room: what is below stays where it is
  }

  // The stored picture above gives its place to the plot.
  function reveal() {
    stage.hidden = false;
    for (const twin of twins(place)) twin.classList.add("v2g-replaced");
  }

  const resized = () => Math.abs(stage.clientWidth - state.width) > 2;

  // The height belongs to the width: in another column it is found anew, whoever asked for the picture.
  function measure(wanted) {
    tell("");
    words.style.minHeight = "";
    state.width = stage.clientWidth;
    state.height = height(wanted);
  }

  // As high as wanted, unless the whole would not fit the screen then; in a narrow column it never does.
  function height(wanted = 380) {
    if (stage.clientWidth < NARROW) return wanted;
    const page = place.closest(".jp-WindowedPanel-outer, .jp-Notebook")?.clientHeight || innerHeight;
    const rest = root.offsetHeight - stage.offsetHeight + 16;
    return Math.max(260, Math.min(wanted, page - rest));
  }

  for (const [name, position] of Object.entries(spec.positions ?? {})) buttons.append(button(name, () => board.set(position)));
  if (spec.play) {
    const quiet = (playing) => words.setAttribute("aria-busy", playing);    // a screen reader speaks when the film rests
    buttons.append(player(board, spec.play, () => state.busy, quiet));
  }
  if (spec.reset) buttons.append(button("Reset", () => board.set(spec.reset)));
  buttons.hidden = !buttons.children.length;

  place.replaceChildren(root);
  const sized = new ResizeObserver(later(() => {
    if (stage.clientWidth && resized()) ask();
  }));
  sized.observe(place);
  ask();
  return {
    end: (farewell) => {
      state.ended = true;
      sized.disconnect();
      board.disable();
      tell(farewell ?? "");
    },
  };
}

function bar(place, spec) {
  const meter = element("progress", { max: spec.total, "aria-label": spec.label });
  const count = element("span", { class: "v2g-count" });
  const root = element("p", { class: "v2g-bar" });
  root.append(`${spec.label} `, meter, count);
  place.replaceChildren(root);
  const update = ({ done, total }) => {
    meter.value = done;
    count.textContent = ` ${done} of ${total}`;
  };
  update(spec);
  return { update };
}

function form(place, spec, source) {
  const root = element("form", { class: "v2g-form", "aria-label": spec.label });
  const verdict = element("p", { class: "v2g-words", role: "status", tabindex: "-1" });
  spec.questions.forEach(({ ask, answers }, number) => {
    const group = element("fieldset", {});
    group.append(element("legend", {}, `${number + 1} of ${spec.questions.length}. ${ask}`));
    answers.forEach((answer, value) => {
      const label = element("label", {});
      label.append(element("input", { type: "radio", name: `${spec.id}-${number}`, value }), ` ${answer}`);
      group.append(label);
    });
    root.append(group);
  });
  root.append(element("button", { type: "submit" }, spec.submit), verdict);
  root.addEventListener("submit", async (event) => {
    event.preventDefault();
    const chosen = spec.questions.map((_, number) => root.querySelector(`input[name="${spec.id}-${number}"]:checked`));
    const open = chosen.findIndex((one) => !one);
    if (open >= 0) {
      verdict.textContent = `Question ${open + 1} has no answer yet.`;
      root.querySelectorAll("fieldset")[open].querySelector("input").focus();
      return;
    }
    verdict.textContent = "One moment …";
    try {
      verdict.innerHTML = (await source.ask(spec.id, { chosen: chosen.map((one) => Number(one.value)) })).words;
    } catch (trouble) {
      verdict.textContent = `This could not be counted: ${trouble.message}. Press the button again.`;
    }
    verdict.focus();
  });
  place.replaceChildren(root);
  return {};
}

// ------------------------------------------------------------------------------------------------------------ controls

function controls(specs, moved) {
  const root = element("div", { class: "v2g-controls" });
  const parts = Object.fromEntries(specs.map((spec) => [spec.name, spec.options.length ? choice(spec, moved) : range(spec, moved)]));
  for (const part of Object.values(parts)) root.append(part.root);
  root.hidden = !specs.length;
  return {
    root,
    parts,
    values: () => Object.fromEntries(Object.entries(parts).map(([name, part]) => [name, part.get()])),
    set: (values) => {
      for (const [name, value] of Object.entries(values)) parts[name].set(value);
      moved();
    },
    disable: () => Object.values(parts).forEach((part) => part.input.disabled = true),
  };
}

function range({ name, label, unit, low, high, step, value, digits, continuous, texts }, moved) {
  const id = `v2g-${Math.random().toString(36).slice(2)}`;
  const input = element("input", { type: "range", id, min: low, max: high, step, value, "data-control": name });
  const output = element("output", { for: id });
  const root = element("div", { class: "v2g-control" });
  root.append(element("label", { for: id }, label), input, output);
  const show = () => {
    const text = texts?.[input.value] ?? `${Number(input.value).toFixed(digits)} ${unit === "-" ? "" : unit}`;
    output.textContent = text;
    input.setAttribute("aria-valuetext", text);
  };
  input.addEventListener("input", () => {
    show();
    if (continuous) moved();
  });
  if (!continuous) input.addEventListener("change", moved);
  input.addEventListener("pointerdown", () => input.focus());
  show();
  return {
    root, input, low, high, step,
    get: () => Number(input.value),
    set: (to) => {
      input.value = to;
      show();
    },
  };
}

function choice({ name, label, options, value }, moved) {
  const id = `v2g-${Math.random().toString(36).slice(2)}`;
  const input = element("select", { id, "data-control": name });
  for (const option of options) input.append(element("option", { value: option }, option));
  input.value = value;
  input.addEventListener("change", moved);
  const root = element("div", { class: "v2g-control" });
  root.append(element("label", { for: id }, label), input);
  return { root, input, get: () => input.value, set: (to) => input.value = to };
}

// Plays one slider from where it stands to its end; at the end it begins again. With reduced motion it takes ten strides.
function player(board, { name, text }, busy, quiet) {
  const control = board.parts[name];
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const stride = calm ? Math.max(control.step, control.step * Math.round((control.high - control.low) / control.step / 10)) : control.step;
  const pace = calm ? 1000 : FRAME_MS;
  let timer = null;
  let moved = 0;
  const play = button(text, () => timer ? stop() : start());
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = text;
    quiet(false);
  };
  const start = () => {
    if (control.get() >= control.high) board.set({ [name]: control.low });
    play.textContent = "Pause";
    quiet(true);
    moved = performance.now();
    timer = setInterval(advance, LOOK_MS);
  };
  const advance = () => {
    if (!play.isConnected || control.input.disabled || control.get() >= control.high) return stop();
    const due = Math.floor((performance.now() - moved) / pace);
    if (!due || busy()) return;
    moved += due * pace;
    board.set({ [name]: Math.min(control.high, control.get() + Math.min(due, LEAP) * stride) });
  };
  return play;
}

// ----------------------------------------------------------------------------------------------------------- the picture

// A faint line where each curve was before the last move, in the axes of today.
function haunt(stage, traces) {
  stage.querySelectorAll(".v2g-ghost").forEach((path) => path.remove());
  const full = stage._fullLayout;
  (traces ?? []).forEach((trace, index) => {
    const now = stage._fullData[index];
    if (!now || now.type !== "scatter" || !(now.mode ?? "").includes("lines") || now.stackgroup || !trace.x?.length) return;
    const subplot = full._plots[now.xaxis + now.yaxis];
    if (!subplot) return;
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("class", "v2g-ghost");
    path.setAttribute("d", outline(trace, subplot.xaxis, subplot.yaxis, now.line.shape));
    path.style.stroke = now.line.color;
    subplot.plot.node().prepend(path);
  });
}

// Steps stay steps: a curve of plotly's shape hv goes across and then up or down.
function outline({ x, y }, xaxis, yaxis, shape) {
  let pen = "M";
  let d = "";
  for (let i = 0; i < x.length; i += 1) {
    const [a, b] = [xaxis.d2p(x[i]), yaxis.d2p(y[i])];
    if (!Number.isFinite(a) || !Number.isFinite(b)) {
      pen = "M";
      continue;
    }
    const [across, up] = [a.toFixed(1), b.toFixed(1)];
    d += shape === "hv" && pen === "L" ? `H${across}V${up}` : `${pen}${across},${up}`;
    pen = "L";
  }
  return d;
}

// The output just above a placeholder, if it shows a figure.
function twins(place) {
  const above = place.closest(OUTPUT)?.previousElementSibling;
  return above?.querySelector(".jp-RenderedPlotly") ? [above] : [];
}

// Every figure gets its text alternative from the caption below it, whether it is drawn or a stored picture.
function describe() {
  for (const note of document.querySelectorAll(".v2g-alt:not([data-done])")) {
    const figure = figureAbove(note.closest(OUTPUT));
    if (!figure) continue;
    note.dataset.done = "";
    figure.setAttribute("role", "figure");
    figure.setAttribute("aria-label", note.dataset.alt ?? note.textContent.replace("In words: ", ""));
    for (const image of figure.querySelectorAll("img")) image.alt = "";
    note.setAttribute("aria-hidden", "true");
  }
}

function figureAbove(output) {
  for (let one = output?.previousElementSibling; one; one = one.previousElementSibling) {
    const figure = one.querySelector(".jp-RenderedPlotly, .jp-RenderedSVG, .jp-RenderedImage");
    if (figure) return figure;
  }
  return null;
}

// --------------------------------------------------------------------------------------------------------------- small

// JupyterLab's shortcuts look at the very element that has the focus, so each control keeps them off by itself.
function element(name, attributes, text) {
  const made = document.createElement(name);
  if (["input", "select", "button"].includes(name)) made.setAttribute("data-lm-suppress-shortcuts", "true");
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function button(text, pressed) {
  const made = element("button", { type: "button" }, text);
  made.addEventListener("click", pressed);
  return made;
}

// At most once a frame, however often it is called.
function later(work) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      work();
    });
  };
}
