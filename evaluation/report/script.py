"""The page's only script: it filters the samples. Without it, all are shown and no filter is."""

SCRIPT = """
(() => {
  const at = id => document.getElementById(id);
  const form = at("filter"), benchmark = at("f-benchmark"), task = at("f-task");
  const checkpoint = at("f-checkpoint"), state = at("f-state"), count = at("f-count");
  if (!form) return;
  const articles = [...document.querySelectorAll("article")];
  const tasks = [...task.options].slice(1);
  const fits = article => {
    const {benchmark: own, task: kind, states} = article.dataset;
    if (benchmark.value && own !== benchmark.value) return false;
    if (task.value && kind !== task.value) return false;
    if (!state.value) return true;
    const all = states.split(" ");
    return checkpoint.value ? all[Number(checkpoint.value)] === state.value : all.includes(state.value);
  };
  const update = () => {
    const there = new Set(articles.filter(a => !benchmark.value || a.dataset.benchmark === benchmark.value)
      .map(a => a.dataset.task));
    for (const option of tasks) option.hidden = option.disabled = !there.has(option.value);
    if (task.value && !there.has(task.value)) task.value = "";
    let shown = 0;
    for (const article of articles) {
      article.hidden = !fits(article);
      shown += !article.hidden;
    }
    for (const section of document.querySelectorAll("section.samples"))
      section.hidden = !section.querySelector("article:not([hidden])");
    count.textContent = `${shown} of ${articles.length} samples`;
  };
  form.hidden = false;
  form.addEventListener("input", update);
  form.addEventListener("reset", () => setTimeout(update));
  form.addEventListener("submit", event => event.preventDefault());
  update();
})();
"""
