/* The reader study's page: a code, then pair after pair, each blind and then open. */
(() => {
  const at = (id) => document.getElementById(id);
  const SIDES = ["left", "right"];
  const NAMES = { left: "A", right: "B" }; // a phone shows them below each other
  const START = { heart: [0.3, 0.7], thorax: [0.1, 0.9] };
  let study = null;
  let due = null;
  let began = 0;
  let knob = null;
  let sights = {};

  function say(text) {
    at("message").textContent = text;
    at("message").hidden = !text;
    if (text) at("message").scrollIntoView({ block: "nearest" });
  }

  function make(tag, className, text) {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  }

  async function ask(path, body) {
    const options = { headers: { "Content-Type": "application/json" }, method: "POST", body: JSON.stringify(body) };
    let answer;
    let told;
    try {
      answer = await fetch(path, body ? options : undefined);
      told = await answer.json();
    } catch {
      throw new Error("The server cannot be reached. What you have saved is kept; try again.");
    }
    if (!answer.ok) throw new Error(told.error || `The server refused the request (${answer.status}).`);
    return told;
  }

  /* Five points as radio buttons that look like keys. */
  function scale(name, text, words) {
    const field = make("fieldset");
    field.append(make("legend", "", text));
    const row = make("div", "scale");
    words.forEach((word, i) => {
      const label = make("label", "", word);
      const input = make("input");
      Object.assign(input, { type: "radio", name, value: i + 1, required: true });
      input.addEventListener("change", () => field.classList.remove("wanting"));
      label.append(input);
      row.append(label);
    });
    field.append(row);
    return field;
  }

  /* A picture with four lines; each stands for a border once it has been moved. */
  function sight(side, source) {
    const box = make("div", "sight");
    const picture = make("div", "measure");
    const image = new Image();
    image.src = source;
    image.alt = `Picture ${NAMES[side]}`;
    image.draggable = false;
    picture.append(image);
    const edges = { heart: [...START.heart], thorax: [...START.thorax] };
    const moved = new Set();
    for (const organ of ["heart", "thorax"]) {
      for (const end of [0, 1]) {
        const line = make("button", `line ${organ} still`);
        line.type = "button";
        line.setAttribute("role", "slider");
        line.setAttribute("aria-label", `${organ}, ${end ? "right" : "left"} border in picture ${NAMES[side]}`);
        line.setAttribute("aria-valuemin", 0);
        line.setAttribute("aria-valuemax", 1000);
        const put = (value, touched) => {
          edges[organ][end] = Math.min(1, Math.max(0, value));
          line.style.left = `${100 * edges[organ][end]}%`;
          line.setAttribute("aria-valuenow", Math.round(1000 * edges[organ][end]));
          if (touched) {
            moved.add(line);
            line.classList.remove("still");
          }
        };
        put(edges[organ][end], false);
        line.addEventListener("pointerdown", (event) => {
          line.setPointerCapture(event.pointerId);
          event.preventDefault();
          line.focus({ preventScroll: true });
        });
        line.addEventListener("pointermove", (event) => {
          if (!line.hasPointerCapture(event.pointerId)) return;
          const frame = picture.getBoundingClientRect();
          put((event.clientX - frame.left) / frame.width, true);
        });
        line.addEventListener("keydown", (event) => {
          const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
          if (way) {
            event.preventDefault();
            put(edges[organ][end] + way * (event.shiftKey ? 0.02 : 0.002), true);
          } else if (event.key === "Enter" || event.key === " ") {
            event.preventDefault();
            put(edges[organ][end], true); // it stands where it should already
          }
        });
        picture.append(line);
      }
    }
    const untold = make("label", "untold");
    const none = make("input");
    none.type = "checkbox";
    none.addEventListener("change", () => picture.classList.toggle("off", none.checked));
    untold.append(none, "The borders cannot be told on this picture");
    const question = `Is picture ${NAMES[side]} an X-ray as it was taken?`;
    box.append(make("h3", "", `Picture ${NAMES[side]}`), picture, untold, scale(`real_${side}`, question, study.scales.real));
    return {
      box,
      ready: () => none.checked || moved.size === 4,
      lines: () => (none.checked ? null : { heart: edges.heart, thorax: edges.thorax }),
    };
  }

  function answersOf(form) {
    const found = {};
    let whole = true;
    for (const field of form.querySelectorAll("fieldset")) {
      const name = field.querySelector("input").name;
      const chosen = field.querySelector("input:checked");
      field.classList.toggle("wanting", !chosen);
      if (chosen) found[name] = Number(chosen.value);
      else whole = false;
    }
    return whole ? found : null;
  }

  async function show(next) {
    due = next;
    say("");
    for (const id of ["start", "blind", "open", "done"]) at(id).hidden = true;
    if (knob) knob.destroy();
    knob = null;
    const passed = next.done ? next.total : next.position;
    at("track").style.width = `${(100 * passed) / next.total}%`;
    at("progress").textContent = next.done ? "" : `${next.position + 1} of ${next.total}.`;
    if (next.done) {
      at("done").hidden = false;
      return;
    }
    const form = at(next.step);
    form.hidden = false;
    form.querySelector(".number").textContent = `${next.position + 1} of ${next.total}`;
    if (next.step === "blind") {
      sights = Object.fromEntries(SIDES.map((side) => [side, sight(side, next[side])]));
      at("pair").replaceChildren(...SIDES.map((side) => sights[side].box));
      at("same").replaceChildren(scale("same_patient", "Do both pictures show the same patient?", study.scales.same));
    } else {
      const { original, steps, start } = next.progression;
      const [says, then] = [original.posterior, steps[start].posterior].map((value) => value.toFixed(2));
      at("asked").textContent =
        `Of the original the classifier says ${says} for ${study.finding.toLowerCase()} (0 absent, 1 present). ` +
        `Asked for the other end, a model redrew the patient until it says ${then}. Turn the knob and look at what changes.`;
      knob = await cfxProgression.mount(at("knob"), next.progression);
      const fields = Object.entries(study.questions).map(([name, text]) => scale(name, text, study.scales.agree));
      at("questions").replaceChildren(...fields);
    }
    window.scrollTo(0, 0);
    at("main").focus({ preventScroll: true });
    began = performance.now();
  }

  async function save(form) {
    const answers = answersOf(form);
    if (!answers) {
      say("Please answer every question.");
      return;
    }
    if (due.step === "blind") {
      if (!SIDES.every((side) => sights[side].ready())) {
        say("Please place all four lines on both pictures (a line that already stands right: choose it and press Enter), or tick that the borders cannot be told.");
        return;
      }
      answers.lines = Object.fromEntries(SIDES.map((side) => [side, sights[side].lines()]));
    }
    const button = form.querySelector("[type=submit]");
    button.disabled = true;
    try {
      const { reader, position, step } = due;
      const seconds = (performance.now() - began) / 1000;
      await show(await ask("/api/answer", { reader, position, step, answers, seconds }));
    } catch (error) {
      say(error.message);
    } finally {
      button.disabled = false;
    }
  }

  for (const id of ["blind", "open"]) {
    at(id).addEventListener("submit", (event) => {
      event.preventDefault();
      save(at(id));
    });
  }
  at("who").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await show(await ask("/api/next", { reader: at("code").value }));
    } catch (error) {
      say(error.message);
    }
  });
  ask("/api/study").then((told) => {
    study = told;
    at("finding").textContent = told.finding.toLowerCase();
  }).catch((error) => say(error.message));
})();
