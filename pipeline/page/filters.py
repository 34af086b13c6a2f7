"""Filters for the parts of a page, which lie in folds: what its template, its styles and its script need.

An item has the class ``filtered`` and its values in ``data-`` attributes; a fold is a ``details`` of the
class ``fold``. The first folds are open and the others closed, so that a page begins with a few screens.
While a filter is set, the folds with items that fit are open and the others hidden. Without a script every
item can be read, as the folds are the browser's own; the filters are then not shown.
"""

from __future__ import annotations

OPEN_FOLDS = 2
"""How many folds of a page are open at first."""

FILTER_CSS = """
.filter { display:flex; flex-wrap:wrap; gap:8px 12px; align-items:center; margin:0 0 14px; }
.filter[hidden] { display:none; }
.filter :is(input, select, button) { font:inherit; font-size:.9rem; color:inherit; height:36px; min-width:0;
  background:var(--card); border:1px solid var(--line); border-radius:8px; padding:5px 10px; max-width:100%; }
.filter input { flex:1 1 190px; } .filter select { flex:1 1 150px; } .filter button { cursor:pointer; }
.filter output { color:var(--soft); font-size:.88rem; flex:1 0 100%; font-variant-numeric:tabular-nums; }
.filter :focus-visible, .fold > summary:focus-visible { outline:2px solid var(--accent); outline-offset:2px; }
.fold { margin:0 0 14px; } .fold > summary { padding:6px 0; color:var(--ink); }
.fold > summary h3 { display:inline; margin:0; } .fold[hidden], .filtered[hidden] { display:none; }
"""

FILTER_FORM = """
{%- macro filters(noun, fields) %}
<form class="filter" data-noun="{{ noun }}" hidden>
<input type="search" name="text" aria-label="Words" placeholder="Words, such as a name" autocomplete="off">
{% for field in fields %}
<select name="{{ field }}" aria-label="{{ field | capitalize }}">
<option value="">every {{ field }}</option></select>
{% endfor %}
<button type="reset">Show all</button>
<output aria-live="polite"></output>
</form>
{%- endmacro %}
"""

FILTER_SCRIPT = """
(() => {
  const form = document.querySelector("form.filter");
  const items = [...document.querySelectorAll(".filtered")];
  const folds = [...document.querySelectorAll("details.fold")];
  if (!form || !items.length) return;
  const count = form.querySelector("output"), selects = [...form.querySelectorAll("select")];
  const texts = items.map(item => item.textContent.toLowerCase());
  const first = folds.map(fold => fold.open);
  for (const select of selects) {
    for (const value of new Set(items.map(item => item.dataset[select.name]).filter(Boolean))) {
      select.add(new Option(value, value));
    }
  }
  const fits = (item, at, words, but) => words.every(word => texts[at].includes(word))
    && selects.every(select => select === but || !select.value || item.dataset[select.name] === select.value);
  const update = () => {
    const words = form.elements.text.value.toLowerCase().split(/\\s+/).filter(Boolean);
    const set = words.length || selects.some(select => select.value);
    let shown = 0;
    items.forEach((item, at) => { shown += !(item.hidden = !fits(item, at, words)); });
    folds.forEach((fold, at) => {
      const has = fold.querySelector(".filtered:not([hidden])");
      fold.hidden = Boolean(set) && !has;
      fold.open = set ? Boolean(has) : first[at];
    });
    for (const select of selects) {
      for (const option of select.options) {
        if (!option.value) continue;
        const many = items.filter((item, at) => item.dataset[select.name] === option.value
          && fits(item, at, words, select)).length;
        option.textContent = `${option.value} (${many})`;
        option.disabled = !many && !option.selected;
      }
    }
    count.textContent = `${shown} of ${items.length} ${form.dataset.noun}`;
  };
  const follow = () => {  // a link to a fold opens it, and shows it whatever is filtered
    const fold = document.getElementById(decodeURIComponent(location.hash.slice(1)))?.closest("details.fold");
    if (!fold) return;
    if (fold.hidden) {
      for (const field of [form.elements.text, ...selects]) field.value = "";
      update();
    }
    fold.open = true;
    fold.scrollIntoView();
  };
  form.hidden = false;
  form.addEventListener("input", update);
  form.addEventListener("submit", event => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(update));
  addEventListener("hashchange", follow);
  update();
  follow();
})();
"""
