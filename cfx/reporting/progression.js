"use strict";
/* The knob: a slider through one patient's pictures, with outlines, what changed, and the numbers of each step.

   cfxProgression.mount(root, data) builds it inside `root` and returns {select(index), destroy()}.
   data: {finding, measure, original: picture, steps: [picture + target, change, verdict], start}
   A step's `limit` is the posterior at which the run stops short of its target.
   measure: what the task is read by: {label, name, meaning, floor, floorMeaning}, floor null where none is known
   picture: {picture: data URI, posterior, measured, outlines: {heart: [[[x, y], ...]]}, lines: {heart: [x0, x1, y]}}
   Everything but `picture` and `posterior` may be absent: what is not known is not shown. */
const cfxProgression = (() => {
  const MARK = "synthetic counterfactual";
  const COLOURS = { heart: "#ffd166", left_lung: "#7ee0c3", right_lung: "#7ee0c3", thorax: "#7ee0c3" };
  const BRIGHTER = [255, 156, 63];
  const DARKER = [88, 180, 255];
  const SVG = new DOMParser().parseFromString("<svg></svg>", "text/html").body.firstChild.namespaceURI;
  let made = 0;

  function make(tag, className, text) {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  }

  const wanted = (step) => fixed(step.target, 2) + (typeof step.limit === "number" ? `, limit ${fixed(step.limit, 2)}` : "");
  const fixed = (value, digits) => (value === null || value === undefined ? "–" : value.toFixed(digits));
  const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
  const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);

  async function load(source) {
    const image = new Image();
    image.src = source;
    await image.decode();
    return image;
  }

  /* The change of a step as colours: 128 is none, alpha says how much of it there is. */
  function tint(image) {
    const canvas = make("canvas");
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
    for (let i = 0; i < pixels.data.length; i += 4) {
      const change = (pixels.data[i] - 128) / 127;
      const colour = change > 0 ? BRIGHTER : DARKER;
      pixels.data.set(colour, i);
      pixels.data[i + 3] = Math.min(255, Math.round(255 * Math.abs(change)));
    }
    context.putImageData(pixels, 0, 0);
    return canvas;
  }

  function drawOverlay(context, item, width, height, thick) {
    context.lineJoin = "round";
    for (const [organ, polygons] of Object.entries(item.outlines || {})) {
      for (const polygon of polygons) {
        context.beginPath();
        polygon.forEach(([x, y], i) => context[i ? "lineTo" : "moveTo"](x * width, y * height));
        context.closePath();
        // A dark rim first, or a light line would vanish on a white heart.
        for (const [colour, wide] of [["rgba(0, 0, 0, .5)", 2.4 * thick], [COLOURS[organ] || "#fff", 1.2 * thick]]) {
          context.strokeStyle = colour;
          context.lineWidth = wide;
          context.stroke();
        }
      }
    }
    for (const [name, [x0, x1, y]] of Object.entries(item.lines || {})) {
      const end = 0.018 * height;
      for (const [colour, wide] of [["#000", 3.4 * thick], [COLOURS[name], 1.6 * thick]]) {
        context.strokeStyle = colour;
        context.lineWidth = wide;
        context.beginPath();
        context.moveTo(x0 * width, y * height);
        context.lineTo(x1 * width, y * height);
        for (const x of [x0, x1]) {
          context.moveTo(x * width, y * height - end);
          context.lineTo(x * width, y * height + end);
        }
        context.stroke();
      }
    }
  }

  function drawMark(context, width, height) {
    const size = Math.max(11, 0.028 * width);
    context.font = `${size}px system-ui, sans-serif`;
    const wide = context.measureText(MARK).width;
    context.fillStyle = "#000";
    context.fillRect(0.01 * width, height - 1.9 * size, wide + size, 1.6 * size);
    context.fillStyle = "#ebebeb";
    context.fillText(MARK, 0.01 * width + size / 2, height - 0.8 * size);
  }

  /* The measurement of every step, with the band of the floor around the original's. */
  function chart(data) {
    const known = data.steps.filter((step) => typeof step.measured === "number");
    const before = data.original.measured;
    if (!data.measure || known.length < 2 || typeof before !== "number") return null;
    const floor = data.measure.floor || 0;
    const values = known.map((step) => step.measured).concat(before - floor, before + floor);
    const low = Math.floor(50 * (Math.min(...values) - 0.005)) / 50;
    const high = Math.ceil(50 * (Math.max(...values) + 0.005)) / 50;
    const [W, H, left, right, top, bottom] = [320, 132, 38, 8, 8, 30];
    const x = (target) => left + target * (W - left - right);
    const y = (value) => top + ((high - value) / (high - low)) * (H - top - bottom);
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${W} ${H}`);
    svg.setAttribute("class", "knob-chart");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `${data.measure.name} at each step of the knob`);
    const add = (name, attributes, text) => {
      const node = document.createElementNS(SVG, name);
      for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
      if (text !== undefined) node.textContent = text;
      svg.append(node);
      return node;
    };
    const wide = W - left - right;
    const band = { x: left, width: wide, y: y(before + floor), class: "band" };
    add("rect", { ...band, height: y(before - floor) - y(before + floor) });
    add("line", { x1: left, x2: W - right, y1: y(before), y2: y(before), class: "before" });
    for (const value of [low, high]) {
      add("text", { x: left - 5, y: y(value) + 3.5, "text-anchor": "end" }, value.toFixed(2));
    }
    for (const [target, anchor] of [[0, "start"], [0.5, "middle"], [1, "end"]]) {
      add("text", { x: x(target), y: H - 17, "text-anchor": anchor }, target.toFixed(1));
    }
    add("text", { x: left + wide / 2, y: H - 4, "text-anchor": "middle" }, `${data.measure.label} by what is asked for${floor ? "; band: no change" : ""}`);
    const path = known.map((step, i) => `${i ? "L" : "M"}${x(step.target)},${y(step.measured)}`).join("");
    add("path", { d: path, class: "curve" });
    const dot = add("circle", { r: 4.5, class: "dot" });
    return {
      svg,
      select(step) {
        const there = typeof step.measured === "number";
        dot.setAttribute("visibility", there ? "visible" : "hidden");
        if (there) {
          dot.setAttribute("cx", x(step.target));
          dot.setAttribute("cy", y(step.measured));
        }
      },
    };
  }

  function toggle(text, key, pressed, title) {
    const button = make("button", "knob-toggle");
    button.type = "button";
    button.append(text);
    if (key) {
      const hint = make("kbd", "", key);
      hint.setAttribute("aria-hidden", "true");
      button.append(" ", hint);
      button.setAttribute("aria-keyshortcuts", key);
    }
    button.title = title;
    if (pressed !== null) button.setAttribute("aria-pressed", String(pressed));
    return button;
  }

  function frame() {
    const figure = make("figure", "knob-frame");
    const canvas = make("canvas");
    canvas.setAttribute("role", "img");
    const caption = make("figcaption");
    figure.append(canvas, caption);
    return { figure, canvas, caption };
  }

  function nearest(steps, value) {
    let best = 0;
    steps.forEach((step, i) => {
      if (Math.abs(step.target - value) < Math.abs(steps[best].target - value)) best = i;
    });
    return best;
  }

  async function mount(root, data) {
    const id = `knob${(made += 1)}`;
    const { original, steps } = data;
    const images = await Promise.all([original, ...steps].map((item) => load(item.picture)));
    const changes = await Promise.all(steps.map((step) => (step.change ? load(step.change).then(tint) : null)));
    const hasOutlines = [original, ...steps].some((item) => Object.keys(item.outlines || {}).length);
    const hasLines = [original, ...steps].some((item) => Object.keys(item.lines || {}).length);
    const narrow = window.matchMedia("(max-width: 34rem)").matches;
    // One scale for all steps of the picture, of grey values from 0 to 1.
    const limit = data.changeScale ? `±${data.changeScale.toFixed(2)}` : "";
    const full = limit && ` Full colour at ${limit} of the grey scale.`;
    const state = { index: 0, outlines: hasOutlines, change: false, side: !narrow, held: false };

    const view = make("div", "knob");
    const pictures = make("div", "knob-pictures");
    const before = frame();
    const after = frame();
    pictures.append(before.figure, after.figure);

    const row = make("div", "knob-row");
    const label = make("label", "knob-label");
    label.htmlFor = id;
    const asked = make("b");
    label.append("Ask the classifier for ", asked);
    const slider = make("input", "knob-slider");
    Object.assign(slider, { type: "range", id, min: 0, max: steps.length - 1, step: 1 });
    const scale = make("div", "knob-scale");
    const own = make("span", "knob-own", `▲ as it is: ${fixed(original.posterior, 2)}`);
    const [first, last] = [steps[0].target, steps[steps.length - 1].target];
    const place = (original.posterior - first) / (last - first || 1);
    own.style.setProperty("--at", String(Math.min(1, Math.max(0, place))));
    scale.append(make("span", "", "0"), own, make("span", "", "1"));
    row.append(label, slider, scale);

    const toggles = make("div", "knob-toggles");
    const buttons = {
      outlines: toggle("Outlines", "O", state.outlines, `Heart and lungs${hasLines ? ", and the lines of the CTR" : ""}`),
      change: toggle("What changed", "D", false, `Orange: brighter than the original. Blue: darker.${full}`),
      side: toggle("Side by side", "S", state.side, "The original beside the drawn picture"),
      held: toggle("Hold for the original", "H", null, "Shows the original in its place while it is held"),
    };
    if (hasOutlines) toggles.append(buttons.outlines);
    if (changes.some(Boolean)) toggles.append(buttons.change);
    toggles.append(buttons.side, buttons.held);

    const facts = make("dl", "knob-facts");
    const fact = (name, title) => {
      const box = make("div");
      const term = make("dt", "", name);
      term.title = title;
      const value = make("dd");
      box.append(term, value);
      facts.append(box);
      return value;
    };
    const posterior = fact("Classifier says", `Posterior of ${data.finding || "the finding"}`);
    // A reader study leaves everything measured out: then there is nothing to show, not even a dash.
    const measure = data.measure;
    const reading = measure && fact(measure.name, capital(measure.meaning));
    const shift = measure && fact(`Change of the ${measure.label}`, "Against the original");
    const floor = measure && measure.floor && fact("Reading floor", capital(measure.floorMeaning));
    if (floor) floor.textContent = `±${measure.floor}`;
    const bar = make("span", "knob-bar");
    const filled = make("span");
    const tick = make("i");
    bar.append(filled, tick);
    bar.setAttribute("aria-hidden", "true");
    const verdict = make("p", "knob-verdict");
    verdict.setAttribute("role", "status");
    const remark = make("p", "knob-remark");
    const graph = chart(data);
    const told = make("div", "knob-told");
    told.append(facts, verdict, remark);
    if (graph) told.append(graph.svg);
    view.append(pictures, row, toggles, told);
    root.replaceChildren(view);

    function paint(target, image, item, change) {
      const box = target.canvas.getBoundingClientRect();
      if (!box.width) return;
      const factor = Math.min(2, window.devicePixelRatio || 1);
      const width = Math.round(box.width * factor);
      const height = Math.round((width * image.naturalHeight) / image.naturalWidth);
      if (target.canvas.width !== width || target.canvas.height !== height) {
        target.canvas.width = width;
        target.canvas.height = height;
      }
      const context = target.canvas.getContext("2d");
      context.imageSmoothingQuality = "high";
      context.globalAlpha = 1;
      if (change) {
        context.fillStyle = "#000";
        context.fillRect(0, 0, width, height);
        context.globalAlpha = 0.42;
        context.drawImage(images[0], 0, 0, width, height);
        context.globalAlpha = 1;
        context.drawImage(change, 0, 0, width, height);
        drawMark(context, width, height);
      } else {
        context.drawImage(image, 0, 0, width, height);
      }
      if (state.outlines) drawOverlay(context, item, width, height, Math.max(1.2, factor));
    }

    function draw() {
      const step = steps[state.index];
      pictures.classList.toggle("single", !state.side);
      before.figure.hidden = !state.side;
      if (state.side) paint(before, images[0], original, null);
      const change = state.change ? changes[state.index] : null;
      if (state.held) paint(after, images[0], original, null);
      else paint(after, images[state.index + 1], step, change);
      before.caption.textContent = "Original";
      const drawn = change ? `What changed${limit && `, up to ${limit}`}` : "Drawn by a model";
      after.caption.textContent = state.held ? "Original" : `${drawn}, asked for ${wanted(step)}`;
      const measured = (item) => (measure ? `, ${measure.label} ${fixed(item.measured, 2)}` : "");
      const says = (item) => `classifier says ${fixed(item.posterior, 2)}${measured(item)}`;
      before.canvas.setAttribute("aria-label", `Original: ${says(original)}`);
      const name = state.held ? `Original: ${says(original)}` : `${MARK} for ${fixed(step.target, 2)}: ${says(step)}`;
      after.canvas.setAttribute("aria-label", name);
    }

    function tellMeasured(step) {
      const known = typeof step.measured === "number";
      reading.replaceChildren(make("b", "", known ? fixed(step.measured, 2) : "not measurable"));
      reading.append(` original ${fixed(original.measured, 2)}`);
      const moved = known && typeof original.measured === "number" ? step.measured - original.measured : null;
      const under = moved !== null && measure.floor !== null && Math.abs(moved) < measure.floor;
      shift.replaceChildren(make("b", under ? "under" : "", moved === null ? "–" : signed(moved)));
      if (under) shift.append(" under the floor: no change");
    }

    function tell() {
      const step = steps[state.index];
      asked.textContent = fixed(step.target, 2);
      slider.value = state.index;
      slider.setAttribute("aria-valuetext", `asked for ${wanted(step)}, classifier says ${fixed(step.posterior, 2)}`);
      posterior.replaceChildren(make("b", "", fixed(step.posterior, 2)), bar, `original ${fixed(original.posterior, 2)}`);
      filled.style.width = `${100 * step.posterior}%`;
      tick.style.left = `${100 * step.target}%`;
      if (measure) tellMeasured(step);
      const said = step.verdict;
      verdict.hidden = !said;
      if (said) {
        verdict.textContent = said.text;
        verdict.classList.toggle("ok", said.ok);
      }
      const apart = typeof step.seen === "number" && Math.abs(step.seen - step.posterior) > 0.1;
      const remarks = [];
      if (typeof step.limit === "number") {
        remarks.push(`Limit: whatever is asked for, this run aims at no ${step.limit > step.target ? "less" : "more"} than ${fixed(step.limit, 2)}.`);
      }
      if (apart) {
        remarks.push(`Of the sharper picture that you see the classifier says ${fixed(step.seen, 2)}; the numbers are of its own small view.`);
      }
      remark.hidden = !remarks.length;
      remark.textContent = remarks.join(" ");
      if (graph) graph.select(step);
    }

    function select(index) {
      state.index = Math.min(steps.length - 1, Math.max(0, index));
      draw();
      tell();
    }

    function flip(name) {
      state[name] = !state[name];
      buttons[name].setAttribute("aria-pressed", String(state[name]));
      draw();
    }

    function hold(on) {
      if (state.held === on) return;
      state.held = on;
      buttons.held.classList.toggle("pressed", on);
      draw();
    }

    slider.addEventListener("input", () => select(Number(slider.value)));
    for (const name of ["outlines", "change", "side"]) buttons[name].addEventListener("click", () => flip(name));
    buttons.held.addEventListener("pointerdown", () => hold(true));
    for (const end of ["pointerup", "pointerleave", "pointercancel", "blur"]) {
      buttons.held.addEventListener(end, () => hold(false));
    }
    buttons.held.addEventListener("contextmenu", (event) => event.preventDefault());
    const onKey = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !view.isConnected) return;
      if (event.target.closest && event.target.closest("textarea, select, input:not([type=range])")) return;
      const inside = view.contains(event.target) || document.querySelectorAll(".knob").length === 1;
      if (!inside) return;
      const name = { o: "outlines", d: "change", s: "side" }[event.key.toLowerCase()];
      const onButton = event.target === buttons.held && (event.key === " " || event.key === "Enter");
      if (event.type === "keydown" && name && !event.repeat && buttons[name].isConnected) flip(name);
      if (event.key.toLowerCase() === "h" || onButton) hold(event.type === "keydown");
    };
    document.addEventListener("keydown", onKey);
    document.addEventListener("keyup", onKey);
    const resized = new ResizeObserver(draw);
    resized.observe(pictures);
    select(typeof data.start === "number" ? data.start : nearest(steps, original.posterior));
    return {
      select,
      destroy() {
        resized.disconnect();
        document.removeEventListener("keydown", onKey);
        document.removeEventListener("keyup", onKey);
        root.replaceChildren();
      },
    };
  }

  /* A strip of report.html: its cells hold the pictures and the numbers. */
  function ofStrip(strip) {
    const number = (text) => (text === undefined || text === "" ? null : Number(text));
    const item = (cell) => ({
      picture: cell.querySelector("img").src,
      posterior: number(cell.dataset.posterior),
      measured: number(cell.dataset.measured),
      target: number(cell.dataset.target),
      change: cell.dataset.change,
    });
    const cells = [...strip.querySelectorAll(".cell[data-posterior]")].map(item);
    const { measure, scale, finding } = strip.dataset;
    const told = measure ? JSON.parse(measure) : null;
    return { original: cells[0], steps: cells.slice(1), measure: told, changeScale: number(scale), finding };
  }

  /* Gives every strip a button that puts the knob in the place of its row of pictures. */
  function enhance(page) {
    for (const strip of page.querySelectorAll(".strip")) {
      const cells = strip.querySelector(".cells");
      const button = make("button", "knob-toggle", "Turn the knob");
      button.type = "button";
      const place = make("div");
      let knob = null;
      button.addEventListener("click", async () => {
        if (knob) {
          knob.destroy();
          knob = null;
        } else {
          knob = await mount(place, ofStrip(strip));
        }
        cells.hidden = Boolean(knob);
        button.textContent = knob ? "Show all side by side" : "Turn the knob";
      });
      strip.querySelector("figcaption").append(" ", button);
      cells.after(place);
    }
  }

  return { mount, enhance };
})();
