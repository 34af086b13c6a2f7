"""The page's only script: it finds the samples that fit the filters and draws those near the screen.

Samples stand in the page as JSON, one element each, which costs a browser next to nothing. A few become
articles at once, more when the end of the list comes near. All sizes are known before an image is decoded,
and new articles are only ever added below the screen: nothing jumps. Filters are kept in the address.
"""

SCRIPT = """
(() => {
  const at = id => document.getElementById(id);
  const form = at("filter");
  if (!form) return;
  const {labels, samples} = JSON.parse(at("index").textContent);
  const stored = document.querySelectorAll("script.sample");
  const list = at("list"), more = at("more"), count = at("count");
  const AT_ONCE = 8, TIE = 0.01, TINY = 1e-9;
  const DEFAULTS = {benchmark: "", task: "", state: "", of: "", min: "", max: "", change: "",
    from: "0", to: String(labels.length - 1), q: ""};
  const names = Object.keys(DEFAULTS);
  const selects = names.map(name => form.elements[name]).filter(e => e && e.tagName === "SELECT");
  for (const sample of samples) sample.text = sample.text.toLowerCase();

  // From the address and back.
  const read = () => {
    const given = new URLSearchParams(location.hash.slice(1));
    const fits = location.hash.includes("=");
    for (const name of names) {
      const field = form.elements[name];
      if (!field || !fits) continue;
      field.value = given.get(name) ?? DEFAULTS[name];
      if (field.tagName === "SELECT" && field.selectedIndex < 0) field.value = DEFAULTS[name];
    }
    return fits;
  };
  const value = name => form.elements[name]?.value ?? DEFAULTS[name];
  const values = () => Object.fromEntries(names.map(name => [name, value(name)]));
  const write = f => {
    const kept = names.filter(name => f[name] !== DEFAULTS[name]);
    const query = new URLSearchParams(kept.map(name => [name, f[name]]));
    const hash = "#" + (kept.length ? query : "samples"), had = location.hash.includes("=");
    if (hash !== location.hash && (kept.length || had)) history.replaceState(null, "", hash);
  };

  // Which samples fit. A state and a range of scores have to be those of one answer.
  const changeOf = ({scores}, f) => {
    const a = scores[f.from], b = scores[f.to];
    if (a == null || b == null) return "";
    return Math.abs(b - a) < TIE - TINY ? "same" : b > a ? "better" : "worse";
  };
  const inRange = (score, {min, max}) => (min === "" && max === "") || (score != null
    && (min === "" || 100 * score >= Number(min) - TINY)
    && (max === "" || 100 * score <= Number(max) + TINY));
  const answerFits = (s, i, f) => (!f.state || s.states[i] === f.state) && inRange(s.scores[i], f);
  const fits = (s, f) => (!f.benchmark || s.benchmark === f.benchmark) && (!f.task || s.task === f.task)
    && (!f.change || changeOf(s, f) === f.change)
    && (f.of === "" ? s.states.some((_, i) => answerFits(s, i, f)) : answerFits(s, Number(f.of), f));
  const withWords = f => {
    const words = f.q.toLowerCase().split(/\\s+/).filter(Boolean);
    return samples.map((sample, n) => ({sample, n}))
      .filter(({sample}) => words.every(word => sample.text.includes(word)));
  };

  // Articles.
  const build = n => {
    const {html, frames} = JSON.parse(stored[n].textContent), made = document.createElement("template");
    made.innerHTML = html;
    for (const image of made.content.querySelectorAll("img")) image.src = frames[image.dataset.frame];
    for (const line of made.content.querySelectorAll("path[data-halo]")) {
      const halo = line.cloneNode();
      halo.setAttribute("stroke", line.dataset.halo);
      halo.classList.add("halo");
      line.before(halo);
    }
    made.content.firstElementChild.id = "sample-" + n;
    return made.content;
  };
  let found = [], drawn = 0;
  const draw = () => {
    const part = document.createDocumentFragment();
    for (const {sample, n} of found.slice(drawn, drawn + AT_ONCE)) {
      if (!drawn || found[drawn - 1].sample.benchmark !== sample.benchmark) {
        const title = document.createElement("h3");
        title.textContent = sample.benchmark;
        part.append(title);
      }
      part.append(build(n));
      drawn += 1;
    }
    const focused = document.activeElement === more;
    more.remove();  // put back below: a button that is new on the screen has not moved
    list.append(part);
    list.after(more);
    more.hidden = drawn >= found.length;
    if (focused) more.focus({preventScroll: true});
  };
  const near = new IntersectionObserver(entries => {
    if (!entries.some(entry => entry.isIntersecting) || more.hidden) return;
    draw();
    near.unobserve(more);  // observed anew, it reports once more if it is still near
    near.observe(more);
  }, {rootMargin: "1500px"});

  const update = () => {
    const f = values(), candidates = withWords(f);
    for (const select of selects) {
      if (select.name === "from" || select.name === "to") continue;
      for (const option of select.options) {
        const other = {...f, [select.name]: option.value};
        const many = candidates.filter(({sample}) => fits(sample, other)).length;
        option.textContent = `${option.dataset.label} (${many})`;
        option.disabled = !many && !option.selected;
      }
    }
    found = candidates.filter(({sample}) => fits(sample, f));
    list.textContent = "";
    drawn = 0;
    count.textContent = `${found.length} of ${samples.length} samples`;
    draw();
    near.unobserve(more);
    near.observe(more);
    write(f);
  };

  form.addEventListener("input", event => { if (event.target.name) update(); });
  form.addEventListener("reset", () => setTimeout(() => {
    form.elements.to && (form.elements.to.value = DEFAULTS.to);
    update();
    outlines();
  }));
  form.addEventListener("submit", event => event.preventDefault());
  const kinds = ["true", "predicted"];
  const outlines = () => {
    for (const kind of kinds) list.classList.toggle("hide-" + kind, !at("show-" + kind).checked);
  };
  for (const kind of kinds) at("show-" + kind).addEventListener("change", outlines);
  more.addEventListener("click", () => {
    const last = list.lastElementChild;
    draw();
    const next = last?.nextElementSibling;
    if (!next) return;
    next.tabIndex = -1;
    next.focus({preventScroll: true});  // a keyboard goes on where the new samples begin
  });
  const follow = () => {
    if (!read()) return;
    update();
    at("samples").scrollIntoView();
  };
  addEventListener("hashchange", follow);
  if (form.elements.to) form.elements.to.value = DEFAULTS.to;
  if (location.hash.includes("=")) follow(); else update();
})();
"""
