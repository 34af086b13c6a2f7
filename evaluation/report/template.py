"""The page's template (jinja2). Only ``markup`` lets text through unescaped: the charts drawn beside it."""

TEMPLATE = """
{%- macro rows(lines) %}
{% for group in groups(lines) %}
<tbody class="group">
{% for line in group.lines %}
<tr{% if not line.main %} class="other"{% endif %}>
{% if loop.first %}
<th scope="rowgroup" rowspan="{{ group.lines | length }}">
{% for part in group.benchmark.split("_") %}{{ part }}{% if not loop.last %}_<wbr>{% endif %}{% endfor %}
{% if group.category %}<br>
<span class="chip">{{ group.category }}</span>{% endif %}</th>
{% endif %}
<td>{{ line.metric }}</td>
{% for _ in line.values %}
<td class="n{% if loop.last %} last{% endif %}">{{ line | cell(loop.index0) }}</td>
{% endfor %}
{% if table.labels | length > 1 %}
{% set points, way = change(line) %}
<td class="n {{ way }}">{{ points }}</td>
{% endif %}
<td class="n">{{ line | baseline }}</td>
<td class="n">{{ line.samples }}</td><td class="n">{{ line | failures }}</td>
</tr>
{% endfor %}
</tbody>
{% endfor %}
{% endmacro %}
{%- macro head() %}
<thead><tr><th scope="col">benchmark</th><th scope="col">metric</th>
{% for label in table.labels %}<th scope="col" class="n">{{ label }}</th>{% endfor %}
{% if table.labels | length > 1 %}<th scope="col" class="n">change</th>{% endif %}
<th scope="col" class="n">baseline</th><th scope="col" class="n">samples</th>
<th scope="col" class="n">failures</th></tr></thead>
{% endmacro %}
{%- macro strip(pictures) %}
{% if pictures %}
<div class="strip">
{% for p in pictures %}
<figure><img src="{{ p.uri }}" alt="{{ p.alt }}" width="{{ p.width }}" height="{{ p.height }}" loading="lazy">
{% if p.caption %}<figcaption>{{ p.caption }}</figcaption>{% endif %}</figure>
{% endfor %}
</div>
{% endif %}
{% endmacro -%}
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ page.title }}: scores</title>
<style>{{ css }}</style>
</head>
<body>
<main>
<h1>{{ page.title }}</h1>
<p class="lead">A video language model that answers, points, tells time and segments: what it could do at each
point of its training, on {{ page.sections | length }} benchmarks.
Numbers are in percent, a judge's marks from 0 to 5; more is better.</p>
<nav aria-label="Sections"><a href="#scores">Scores</a>
{% if page.stages %}<a href="#training">Training</a>{% endif %}
{% for section in page.sections if section.examples %}
<a href="#s{{ loop.index }}">{{ section.name }}</a>
{% endfor %}
<a href="#provenance">Provenance</a></nav>

<div class="tiles">
{% for line in highlights(table) %}
{% set points, way = change(line) %}
<div class="card tile">
<div class="what">{{ line.benchmark }}{% if line.category %} · {{ line.category }}{% endif %}

· {{ line.metric }}</div>
<div class="value">{{ line | value(-1) }}</div>
{% if points %}
<div class="from">from {{ line | value(0) }} <span class="{{ way }}">{{ points }}</span></div>
{% endif %}
</div>
{% endfor %}
</div>

<h2 id="scores">Scores</h2>
<div class="card scroll"><table>{{ head() }}{{ rows(table.headlines) }}</table></div>
<ul class="notes">{% for note in table.footnotes %}<li>{{ note }}</li>{% endfor %}</ul>
{% set rest = table.lines | rejectattr("headline") | list %}
{% if rest %}
<details><summary>Every type of question</summary>
<div class="card scroll"><table>{{ head() }}{{ rows(rest) }}</table></div></details>
{% endif %}

{% if page.stages %}
<h2 id="training">Training</h2>
{% for stage in page.stages %}
<h3>{{ stage.label }}</h3>
{% if stage.curves %}
<div class="card curves">{% for title, svg in stage.curves %}
<figure>{{ svg | markup }}<figcaption>{{ title }}</figcaption></figure>{% endfor %}</div>
{% else %}
<p class="legend">Its run holds no curves.</p>
{% endif %}
{% endfor %}
{% endif %}

{% if choices.benchmarks %}
<h2 id="samples">Samples</h2>
<p class="legend">Right: the option is right, or every one of J&amp;F and tIoU is at least 50. A failure is an
answer that cannot be used, and is never right. Masks are outlines: the truth solid, a prediction dashed.</p>
<form id="filter" class="card filter" hidden>
<label>benchmark <select id="f-benchmark"><option value="">all</option>
{% for name in choices.benchmarks %}<option>{{ name }}</option>{% endfor %}</select></label>
<label>task <select id="f-task"><option value="">all</option>
{% for name in choices.tasks %}<option>{{ name }}</option>{% endfor %}</select></label>
<label>answer <select id="f-state"><option value="">any</option>
{% for name in choices.states %}<option>{{ name }}</option>{% endfor %}</select></label>
<label>of <select id="f-checkpoint"><option value="">any checkpoint</option>
{% for label in table.labels %}<option value="{{ loop.index0 }}">{{ label }}</option>{% endfor %}
</select></label>
<button type="reset">all samples</button> <output id="f-count" aria-live="polite"></output>
</form>
{% endif %}
{% for section in page.sections if section.examples %}
<section class="samples">
<h3 id="s{{ loop.index }}">{{ section.name }}</h3>
{% for e in section.examples %}
<article class="card example" data-benchmark="{{ section.name }}" data-task="{{ e.category }}"
 data-states="{{ states(e, table.labels) }}">
<header>{% if e.category %}<span class="chip">{{ e.category }}</span>{% endif %}

<span class="key">{{ e.key }}</span></header>
<div class="q text">{{ e.question }}</div>
<div class="text"><strong>Truth:</strong> {{ e.truth or "see the solid outline" }}</div>
{% if e.kinds or e.spans %}
<p class="legend">{% for name, words in (("true", "truth"), ("predicted", "prediction"),
 ("region", "object that the question points at")) %}
{% if name in e.kinds %}<span class="line{% if name == "predicted" %} dashed{% endif %}"
 style="--c:{{ rgb(e.colours, name) }}"></span>{{ words }} {% endif %}
{% endfor %}
{% if e.spans %}<span class="swatch" style="background:var(--true)"></span>true span
<span class="swatch" style="background:var(--made)"></span>span of an answer{% endif %}</p>
{% endif %}
{{ strip(e.pictures) }}
{% if e.problem %}<div class="failure">{{ e.problem }}</div>{% endif %}
{{ e.spans | markup }}
<div class="answers">
{% for a in e.answers %}
<div class="answer"><div class="who">{{ a.label }}</div>
<div><span class="text">{{ a.text or "(no text)" }}</span>
<span class="verdict {{ look[a.state] }}">{{ "failed · " if a.failure }}{{ a.verdict }}</span>
{% if a.failure %}<div class="failure">failure: {{ a.failure }}</div>{% endif %}
{{ strip(a.pictures) }}</div></div>
{% endfor %}
</div>
</article>
{% endfor %}
</section>
{% endfor %}

<h2 id="provenance">Provenance</h2>
<div class="card"><dl>
{% for name, value in page.provenance %}<dt>{{ name }}</dt><dd>{{ value }}</dd>{% endfor %}
</dl>
<details><summary>The whole plan</summary><pre>{{ page.plan }}</pre></details></div>
</main>
<script>{{ script | markup }}</script>
</body>
</html>
"""
