/* The viewer's page: choose or drop a picture, wait once, then everything is here. */
(() => {
  const at = (id) => document.getElementById(id);
  let visit = null;
  let knob = null;
  let turn = 0;

  function say(text) {
    at("message").textContent = text;
    at("message").hidden = !text;
  }

  async function ask(path, options) {
    let answer;
    try {
      answer = await fetch(path, options);
    } catch {
      throw new Error("The server cannot be reached. Is it still running?");
    }
    let told = null;
    try {
      told = await answer.json();
    } catch {
      throw new Error(`The server's answer (${answer.status}) was not understood.`);
    }
    if (!answer.ok) throw new Error(told.error || `The server refused the request (${answer.status}).`);
    return told;
  }

  function forget() {
    if (visit) navigator.sendBeacon(`/api/visits/${visit}/forget`);
    visit = null;
  }

  async function work(text, path, options) {
    const mine = (turn += 1);
    say("");
    at("busy-text").textContent = text;
    at("busy").hidden = false;
    at("layout").setAttribute("aria-busy", "true");
    try {
      const told = await ask(path, options);
      if (mine !== turn) {
        navigator.sendBeacon(`/api/visits/${told.id}/forget`);
        return;
      }
      forget();
      visit = told.id;
      if (knob) knob.destroy();
      at("welcome").hidden = true;
      at("layout").classList.remove("fresh");
      at("result").hidden = false;
      at("name").textContent = `${told.name} · ${told.width} × ${told.height} pixels`;
      at("download").href = `/api/visits/${visit}/download`;
      knob = await cfxProgression.mount(at("knob"), told);
      if (window.matchMedia("(max-width: 60rem)").matches) at("main").scrollIntoView({ block: "start" });
      at("knob").querySelector("input[type=range]").focus({ preventScroll: true });
    } catch (error) {
      if (mine === turn) {
        // The last patient's picture must not stand under another one's refusal.
        at("result").hidden = true;
        say(error.message);
      }
    } finally {
      if (mine === turn) {
        at("busy").hidden = true;
        at("layout").removeAttribute("aria-busy");
      }
    }
  }

  let most = Infinity;
  function give(file) {
    if (!file) return;
    for (const card of at("cards").children) card.removeAttribute("aria-pressed");
    if (file.size > most) {
      say(`${file.name} is larger than ${Math.round(most / 1048576)} MB, the most that is taken here.`);
      return;
    }
    const form = new FormData();
    form.append("file", file, file.name);
    work(`Drawing ${file.name} …`, "/api/upload", { method: "POST", body: form });
  }

  at("file").addEventListener("change", () => {
    give(at("file").files[0]);
    at("file").value = "";
  });
  for (const name of ["dragenter", "dragover"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      at("drop").classList.add("over");
    });
  }
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) at("drop").classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    at("drop").classList.remove("over");
    give(event.dataTransfer.files[0]);
  });
  at("phantom").addEventListener("click", () => work("Drawing a phantom …", "/api/phantom", { method: "POST" }));
  window.addEventListener("pagehide", forget);

  ask("/api/run").then((told) => {
    at("finding").textContent = told.finding.toLowerCase();
    at("run").textContent = `${told.run}. `;
    most = told.upload;
    at("limit").textContent = `${Math.round(most / 1048576)} MB`;
    at("examples").hidden = !told.examples.length;
    at("without").hidden = told.examples.length > 0;
    told.examples.forEach((example, number) => {
      const card = document.createElement("button");
      card.type = "button";
      card.className = "card";
      const image = new Image();
      image.src = example.picture;
      image.alt = "";
      const text = document.createElement("span");
      const says = document.createElement("b");
      says.textContent = example.posterior.toFixed(2);
      text.append(says, ` ${example.call}`, document.createElement("br"), example.note);
      card.append(image, text);
      card.addEventListener("click", () => {
        for (const other of at("cards").children) other.removeAttribute("aria-pressed");
        card.setAttribute("aria-pressed", "true");
        work("Drawing …", `/api/examples/${number}`, { method: "POST" });
      });
      at("cards").append(card);
    });
  }).catch((error) => say(error.message));
})();
