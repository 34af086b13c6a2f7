"""The page's template (jinja2). Only ``markup`` lets text through unescaped: the charts drawn beside it."""

TEMPLATE = """
{%- macro rows(lines) %}
{% for group in groups(lines) %}
<tbody class="group">
{% for line in group.lines %}
<tr>
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
{%- macro options(name, label, first, items) %}
<label>{{ label }} <select name="{{ name }}">
{% if first is not none %}<option value="" data-label="{{ first }}">{{ first }}</option>{% endif %}
{% for value, words in items %}<option value="{{ value }}" data-label="{{ words }}">{{ words }}</option>
{% endfor %}
</select></label>
{% endmacro %}
{%- macro spread(low, high) %}
{% if low is not none and low < high %}<span class="error"
 style="left:{{ low }}%;width:{{ (high - low) | round(2) }}%"></span>
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
{% if page.comparisons %}<a href="#comparison">Comparison</a>{% endif %}
{% if page.charts %}<a href="#benchmarks">Benchmarks</a>{% endif %}
{% if page.stages %}<a href="#training">Training</a>{% endif %}
<a href="#provenance">Provenance</a>
{% if choices.benchmarks %}<a href="#samples">Samples</a>{% endif %}</nav>

<div class="tiles">
{% for line in highlights(table) %}
{% set points, way = change(line) %}
<div class="card tile">
<div class="what">{{ line.benchmark }}{% if line.category %} · {{ line.category }}{% endif %}

· {{ line.metric }}</div>
<div class="value">{{ line | value(-1) }} <small>{{ line | error(-1) }}</small></div>
{% if points %}
<div class="from">from {{ line | value(0) }} <span class="{{ way }}">{{ points }}</span></div>
{% endif %}
{% if line.baseline is not none %}<div class="from">baseline {{ line | baseline }}</div>{% endif %}
</div>
{% endfor %}
</div>

<h2 id="scores">Scores</h2>
<div class="card scroll" role="region" aria-label="Scores" tabindex="0">
<table>{{ head() }}{{ rows(lines) }}</table></div>
<ul class="notes">{% for note in table.footnotes %}<li>{{ note }}</li>{% endfor %}</ul>
{% if other_lines %}
<details><summary>The same answers by other rules</summary>
<div class="card scroll" role="region" aria-label="Scores by other rules" tabindex="0">
<table>{{ head() }}{{ rows(other_lines) }}</table></div></details>
{% endif %}
{% set rest = table.lines | rejectattr("headline") | list %}
{% if rest %}
<details><summary>Every type of question</summary>
<div class="card scroll" role="region" aria-label="Scores of every type of question" tabindex="0">
<table>{{ head() }}{{ rows(rest) }}</table></div></details>
{% endif %}

{% if page.comparisons %}
<h2 id="comparison">Comparison on the same samples</h2>
<p class="legend">The difference of each sample is taken first. The interval holds the difference at 95%, with
the samples of one video as one draw; a difference whose interval holds zero is within the error. Better and
worse count samples whose score differs by at least one point.</p>
{% for c in page.comparisons %}
<details{% if loop.first %} open{% endif %}><summary>{{ c.b }} against {{ c.a }}</summary>
<div class="card scroll" role="region" aria-label="{{ c.b }} against {{ c.a }}" tabindex="0"><table
 class="compared">
<thead><tr><th scope="col">benchmark</th><th scope="col">metric</th><th scope="col" class="n">{{ c.a }}</th>
<th scope="col" class="n">{{ c.b }}</th><th scope="col" class="n">difference</th>
<th scope="col" class="n">95%</th><th scope="col">verdict</th><th scope="col">worse ← 0 → better</th>
<th scope="col" class="n">samples</th></tr></thead>
{% for g in c.groups %}
<tbody class="group">
{% for r in g.rows %}
<tr>{% if loop.first %}<th scope="rowgroup" rowspan="{{ g.rows | length }}">{{ g.benchmark }}
{% if g.category %}<br><span class="chip">{{ g.category }}</span>{% endif %}
{% if g.better + g.worse + g.same %}
<div class="counts">{{ g.better }} better, {{ g.worse }} worse, {{ g.same }} the
same</div>{% endif %}</th>{% endif %}
<td>{{ r.metric }}</td><td class="n">{{ r.a }}</td><td class="n">{{ r.b }}</td>
<td class="n">{{ r.difference }}</td><td class="n">{{ r.interval }}</td>
<td class="trend {{ {"better": "up", "worse": "down"}.get(r.verdict, "flat") }}">{{ r.verdict }}</td>
<td><span class="forest" aria-hidden="true"><span class="zero"></span>{{ spread(r.low, r.high) }}
<span class="dot" style="left:{{ r.at }}%"></span></span></td>
<td class="n">{{ r.samples }}</td></tr>
{% endfor %}
</tbody>
{% endfor %}
</table></div></details>
{% endfor %}
{% endif %}

{% if page.charts %}
<h2 id="benchmarks">Benchmark by benchmark</h2>
<p class="legend">A bar is a value from 0 to its full score, the line at its end the standard error, and
<span class="mark" aria-hidden="true"></span> the baseline, which does not look at the video. Outcomes and
distributions count every sample that was asked, not only those on this page; the dashed part of a column are
failures.</p>
{% for chart in page.charts %}
<details{% if loop.first %} open{% endif %}><summary>{{ chart.benchmark }}</summary>
<div class="card chart">
{% for g in chart.groups %}
<div class="bars"><h4>{% if g.task and g.task in choices.tasks and chart.benchmark in choices.benchmarks %}
<a href="#{{ {"benchmark": chart.benchmark, "task": g.task} | query }}">{{ g.name }}</a>
{% else %}{{ g.name }}{% endif %}
{% if g.baseline is not none %}<span class="baseline">baseline {{ g.baseline_text }}</span>{% endif %}</h4>
{% for b in g.bars %}
<div class="bar"><span class="who">{{ b.label }}</span><span class="lane" aria-hidden="true">
<span class="fill" style="width:{{ b.end }}%"></span>{{ spread(b.low, b.high) }}
{% if g.baseline is not none %}<span class="mark" style="left:{{ g.baseline }}%"></span>{% endif %}
</span><span class="value">{{ b.text }}</span></div>
{% endfor %}
</div>
{% endfor %}
</div>
{% if chart.outcomes %}
<div class="card chart"><h4>What became of the answers</h4>
{% for o in chart.outcomes %}
<div class="bar outcome"><span class="who">{{ o.label }}</span><span class="lane" aria-hidden="true">
{% for name, count in o.counts.items() %}
<span class="part {{ name }}" style="width:{{ (100 * count / o.total) | round(2) }}%"></span>
{% endfor %}
</span><span class="value">{% for name, count in o.counts.items() %}
<span class="entry"><span class="part {{ name }}" aria-hidden="true">{{ symbols[name] }}</span>
{{ count }} {{ name }}</span>{% endfor %}</span></div>
{% endfor %}
</div>
{% endif %}
{% for measure, histograms in chart.histograms %}
<div class="card chart"><h4>{{ measure }} of each sample, in percent of the full score</h4>
<div class="curves">{% for h in histograms %}
<figure>{{ h.svg | markup }}<figcaption>{{ h.label }}</figcaption></figure>{% endfor %}</div></div>
{% endfor %}
</details>
{% endfor %}
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

<h2 id="provenance">Provenance</h2>
<div class="card"><dl>
{% for name, value in page.provenance %}<dt>{{ name }}</dt><dd>{{ value }}</dd>{% endfor %}
</dl>
<details><summary>The whole plan</summary><pre tabindex="0">{{ page.plan }}</pre></details></div>

{% if choices.benchmarks %}
<h2 id="samples">Samples</h2>
<p class="legend">Right (✓): the option is right, or every one of J&amp;F and tIoU is at least 50, or a mark
is at least 2.5 of 5. A failure (⚠) is an answer that cannot be used, and is never right. A sample's score is
the lowest of these measures. Masks are outlines: the truth solid, a prediction dashed, an object that the
question points at dotted. The address of this page follows the filters: copy it to share a view.</p>
<noscript><style>#filter { display:none; }</style>
<p>Samples are drawn by a script, which is switched off here.</p></noscript>
<form id="filter" class="card filter" aria-label="Which samples are shown">
{{ options("benchmark", "benchmark", "all", zipped(choices.benchmarks)) }}
{{ options("task", "task", "all", zipped(choices.tasks)) }}
{{ options("state", "answer", "any", zipped(choices.states)) }}
{{ options("of", "of", "any checkpoint", numbered(table.labels)) }}
<div class="range" role="group" aria-label="score">score<div>
<input name="min" aria-label="at least" type="number" min="0" max="100" step="any" placeholder="0"> to
<input name="max" aria-label="at most" type="number" min="0" max="100" step="any" placeholder="100"></div>
</div>
{% if table.labels | length > 1 %}
{{ options("change", "change", "any", (("better", "better"), ("same", "the same"), ("worse", "worse"))) }}
{% if table.labels | length > 2 %}
{{ options("from", "from", none, numbered(table.labels)) }}
{{ options("to", "to", none, numbered(table.labels)) }}
{% endif %}
{% endif %}
<label class="search">words <input name="q" type="search" placeholder="of any text"></label>
<label class="tick"><input type="checkbox" id="show-true" checked> truth</label>
<label class="tick">
<input type="checkbox" id="show-predicted" checked> predictions</label>
<button type="reset">all samples</button> <output id="count" aria-live="polite"></output>
</form>
<div id="list"></div>
<button id="more" type="button" hidden>Show more samples</button>
{% endif %}
</main>
{% if choices.benchmarks %}
<script type="application/json" id="index">{{ index | markup }}</script>
{% for one in stored %}<script type="application/json" class="sample">{{ one | markup }}</script>
{% endfor %}
{% endif %}
<script>{{ script | markup }}</script>
</body>
</html>
"""
