"""The page's template (jinja2). Only ``markup`` lets text through unescaped: the script of the filters."""

from pipeline.page.filters import FILTER_FORM

TEMPLATE = (
    FILTER_FORM
    + """
{%- macro breakable(text) -%}
{% for part in text.split("_") %}{{ part }}{% if not loop.last %}_<wbr>{% endif %}{% endfor %}
{%- endmacro %}
{%- macro verdict(row) -%}
<span class="verdict {{ "bad" if not row.ok else "look" if row.tolerance >= 1 else "good" }}">
{{- row | verdict }}</span>
{%- endmacro %}
{%- macro ticks(text) -%}
{% for part in text.split("`") -%}
{% if loop.index0 % 2 %}<span class="key">{{ part }}</span>{% else %}{{ part }}{% endif %}
{%- endfor %}
{%- endmacro %}
{%- macro chips(counts) -%}
{% for name, n in counts.items() %}<span class="chip">{{ name }} {{ n | number }}</span> {% endfor %}
{%- endmacro %}
{%- macro case(e) %}
<div class="case"><span class="key">{{ e.key }}</span> <span class="title">in {{ e.file }}</span>
<p>{{ e.detail }}</p></div>
{%- endmacro %}
{%- macro finding(row, source) %}
<tr class="filtered" data-source="{{ source.name }}" data-finding="{{ row.finding }}"
data-verdict="{{ row | verdict }}">
<td><span class="name">{{ row.finding }}</span><br><span class="title">{{ words[row.finding].title }}</span>
{{ case(row.examples[0]) }}
{% if row.examples | length > 1 %}
<details><summary>{{ row.examples | length - 1 }} more of {{ row.count | number }}</summary>
{% for e in row.examples[1:] %}{{ case(e) }}{% endfor %}
</details>
{% endif %}</td>
<td class="n">{{ row.count | number }}</td>
<td class="n">{{ row.videos | number if row.videos else "" }}</td>
<td class="n">{{ row.share | percent }}</td>
<td class="bar"><span class="share">
<i {% if not row.ok %}class="bad" {% endif %}style="width:{{ "%.2f" % (100 * row.share) }}%"></i>
{%- if row.tolerance < 1 %}<b style="left:{{ "%.2f" % (100 * row.tolerance) }}%"></b>{% endif %}</span></td>
<td class="n">{{ "any" if row.tolerance >= 1 else row.tolerance | percent }}</td>
<td>{{ verdict(row) }}</td>
</tr>
{% endmacro -%}
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ summary.plan }}: the doctor</title>
<style>{{ css }}</style>
</head>
<body>
<main>
<h1>{{ summary.plan }}: what the doctor found</h1>
<p class="lead">Every record of every source was read, whatever the plan selects, and every video was probed
{%- if summary.decode_frames %} and decoded at {{ summary.decode_frames }} places{% endif %}.
What is above the plan's tolerance comes first.</p>
<nav aria-label="Sections"><a href="#sources">Sources</a> <a href="#findings">Findings</a>
<a href="#overlap">Overlap</a> <a href="#words">What they mean</a> <a href="#identity">Identity</a></nav>

<div class="tiles">
<div class="card tile {{ "good" if summary.ok else "bad" }}"><div class="what">verdict</div>
<div class="value">{{ "fit" if summary.ok else "not fit" }}</div>
<div class="from">{{ headline }}</div></div>
<div class="card tile"><div class="what">records</div>
<div class="value">{{ summary.sources | sum(attribute="records") | number }}</div>
<div class="from">of {{ summary.sources | length }}
{{ "source" if summary.sources | length == 1 else "sources" }}</div></div>
<div class="card tile"><div class="what">would become samples</div>
<div class="value">{{ summary.sources | sum(attribute="samples") | number }}</div>
<div class="from">{{ summary.sources | sum(attribute="rejected") | number }} would be rejected</div></div>
<div class="card tile"><div class="what">videos shared with a benchmark</div>
<div class="value">{{ summary.overlaps_in_all | number }}</div>
<div class="from">by content or by name</div></div>
</div>

<h2 id="sources">Sources</h2>
<div class="card scroll"><table>
<thead><tr><th scope="col">source</th>
{% for title in ("records", "samples", "rejected", "videos", "findings") %}
<th scope="col" class="n">{{ title }}</th>
{% endfor %}
<th scope="col">verdict</th></tr></thead>
<tbody>
{% for s in summary.sources %}
<tr><th scope="row">{% if s.rows or s.problem %}<a href="#s-{{ loop.index }}">{{ breakable(s.name) }}</a>
{% else %}{{ breakable(s.name) }}{% endif %} <span class="use">{{ s.use }}</span></th>
<td class="n">{{ s.records | number }}</td><td class="n">{{ s.samples | number }}</td>
<td class="n">{{ s.rejected | number }}</td><td class="n">{{ s.videos | number }}</td>
<td class="n">{{ s.rows | length }}</td>
<td><span class="verdict {{ "good" if s.ok else "bad" }}">{{ "fit" if s.ok else "too much" }}</span></td></tr>
{% endfor %}
</tbody></table></div>

<h2 id="findings">Findings</h2>
<p class="legend">Share: of all records of the source. The mark on a bar is the plan's tolerance
(<span class="key">doctor.tolerance</span>, <span class="key">doctor.allow</span>).
All records with their details are in <span class="key">{{ findings }}</span>.</p>
{{ filters("findings", ("source", "finding", "verdict")) }}
{% for s in summary.sources if s.rows or s.problem %}
<details class="fold" id="s-{{ summary.sources.index(s) + 1 }}"
{%- if loop.index <= open_folds %} open{% endif %}>
<summary><h3>{{ breakable(s.name) }} <span class="use">{{ s.use }},
{{ s.records | number }} records</span></h3>
<span class="verdict {{ "good" if s.ok else "bad" }}">{{ "fit" if s.ok else "too much" }}</span></summary>
<div class="card scroll">
{% if s.problem %}<p class="problem">Preparation would refuse it: {{ s.problem }}.</p>{% endif %}
{% if s.rows %}
<table class="found">
<thead><tr><th scope="col">finding</th><th scope="col" class="n">records</th>
<th scope="col" class="n">videos</th><th scope="col" class="n">share</th><th scope="col"></th>
<th scope="col" class="n">allowed</th><th scope="col">verdict</th></tr></thead>
<tbody>{% for row in s.rows %}{{ finding(row, s) }}{% endfor %}</tbody></table>
{% for row in s.rows if row | spans(s) %}<p class="legend">{{ row | spans(s) }}.</p>{% endfor %}
{% endif %}
</div>
</details>
{% else %}
<p class="legend">Nothing was found.</p>
{% endfor %}

<h2 id="overlap">Overlap of training and benchmarks</h2>
{% if summary.overlaps %}
<p class="legend">By content: byte for byte the same. By name: the same file name in another folder or
encoding; look whether it is the same video.
{% if summary.overlaps_in_all > summary.overlaps | length %}The {{ summary.overlaps | length }} of
{{ summary.overlaps_in_all | number }} with the most samples; the findings have all.{% endif %}</p>
{% if summary.overlaps | length > most_rows %}<details><summary>Show all
{{ summary.overlaps | length }}</summary>{% endif %}
<div class="card scroll"><table>
<thead><tr><th scope="col">by</th><th scope="col">in training</th><th scope="col">samples</th>
<th scope="col">in a benchmark</th><th scope="col">samples</th></tr></thead>
<tbody>
{% for o in summary.overlaps %}
<tr><td>{{ "content" if o.finding == "overlap_content" else "name" }}</td>
<td><span class="text">{{ o.train_video }}</span><br><span class="key">{{ o.train_key }}</span></td>
<td>{{ chips(o.train) }}</td>
<td><span class="text">{{ o.benchmark_video }}</span><br><span class="key">{{ o.benchmark_key }}</span></td>
<td>{{ chips(o.benchmark) }}</td>
</tr>
{% endfor %}
</tbody></table></div>
{% if summary.overlaps | length > most_rows %}</details>{% endif %}
{% else %}
<p class="legend">No video of a training source is in a benchmark of this plan, by content or by name.</p>
{% endif %}

<h2 id="words">What they mean</h2>
{% if met %}
{% if met | length > most_rows %}<details><summary>Show all {{ met | length }}</summary>{% endif %}
<div class="card"><dl class="words">
{% for f in met %}
<dt><span class="name">{{ f }}</span></dt>
<dd><p>{{ ticks(words[f].means) }}</p><p>{{ ticks(words[f].do) }}</p></dd>
{% endfor %}
</dl></div>
{% if met | length > most_rows %}</details>{% endif %}
{% else %}
<p class="legend">Nothing was found, so there is nothing to explain.</p>
{% endif %}

<h2 id="identity">Identity</h2>
<div class="card"><dl>
<dt>plan</dt><dd>{{ summary.plan }}</dd>
<dt>seed</dt><dd>{{ summary.seed }}</dd>
<dt>code</dt><dd>{{ code }}</dd>
<dt>looked at</dt><dd>{{ created }}</dd>
</dl></div>
</main>
<script>{{ script | markup }}</script>
</body>
</html>
"""
)
