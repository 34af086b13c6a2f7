"""The card's template (jinja2). Only ``markup`` lets text through unescaped: the charts drawn beside it."""

from pipeline.page.filters import FILTER_FORM

TEMPLATE = (
    FILTER_FORM
    + """
{%- macro swatch(kind) %}<i class="swatch {{ kind }}"></i>{% endmacro %}
{%- macro name(text) -%}
{% for part in text.split("_") %}{{ part }}{% if not loop.last %}_<wbr>{% endif %}{% endfor %}
{%- endmacro %}
{%- macro numbers(entry) %}
<td class="n">{{ entry("read") | number }}</td><td class="n">{{ entry("kept") | number }}</td>
<td class="n">{{ entry("rejected") | number }}</td><td class="n">{{ entry("not_selected") | number }}</td>
<td class="n">{{ entry("clamped") | number }}</td>
{%- endmacro %}
{%- macro clip(videos) %}
<td class="n">{{ videos.count | number }}</td><td class="n">{{ videos | hours }}</td>
{%- endmacro %}
{%- macro listed(rows, what, unit, explained) %}
<div class="card scroll"><table>
<thead><tr><th scope="col">source</th><th scope="col">{{ what }}</th><th scope="col" class="n">{{ unit }}</th>
<th scope="col" class="n">of its {{ unit }}</th><th scope="col">for example</th></tr></thead>
<tbody>
{% for r in rows %}
<tr><th scope="row">{{ name(r.source) }}</th>
<td>{{ r.what }}{% if explained %}<br>
<span class="legend">{{ words[r.what].title }}</span>{% endif %}</td>
<td class="n">{{ r.count | number }}</td><td class="n">{{ r.count | percent(r.of) }}</td>
<td>{% for key in r.keys %}<span class="key">{{ key }}</span>{{ "" if loop.last else ", " }}{% endfor %}</td>
</tr>
{% endfor %}
</tbody></table></div>
{% endmacro %}
{%- macro turn_html(turn) %}
<div class="turn"><div class="who">{{ turn.who }}</div><div class="text">
{%- for p in turn.pieces -%}
{%- if p.kind == "plain" %}{{ p.text }}{% else -%}
<mark class="{{ p.kind }}"{% if p.colour %} style="--c:{{ p.colour }}"{% endif %} title="{{ p.title }}">
{{- p.text }}{% if p.number %}<sub>{{ p.number }}</sub>{% endif %}</mark>
{%- endif -%}
{%- endfor -%}
{% if turn.cut %} <span class="legend">… {{ turn.cut | number }} more characters</span>{% endif -%}
</div></div>
{% endmacro %}
{%- macro sample(e, source) %}
<article class="card example filtered" data-source="{{ source }}" data-task="{{ e.task }}"
{%- if e.category %} data-category="{{ e.category }}"{% endif %}>
<header><span class="chip">{{ e.task }}</span>
{% if e.category %}<span class="chip other">{{ e.category }}</span>{% endif %}

<span class="key">{{ e.key }}</span></header>
<p class="meta">{{ e.video }} · {{ e.length }}</p>
{% if e.problem %}<div class="failure">{{ e.problem }}</div>{% endif %}
{% if e.frames %}
<div class="strip">
{% for f in e.frames %}
<figure{% if f.kind %} class="{{ f.kind }}"{% endif %}>
<img src="{{ f.picture.uri }}" alt="{{ f.picture.alt }}" loading="lazy"
width="{{ f.picture.width }}" height="{{ f.picture.height }}">
<figcaption>{{ f.caption }}</figcaption></figure>
{% endfor %}
</div>
{% endif %}
{% if e.legend %}
<p class="meta">{% for colour, text in e.legend %}
<span class="item"><span class="swatch" style="background:{{ colour }}"></span>{{ text }}</span>
{% endfor %}</p>
{% endif %}
{% if e.lanes %}
<div class="lanes">
{% for lane in e.lanes %}
<div class="row"><span class="who">{{ lane.name }}</span><span class="line"><i class="{{ lane.kind }}"
style="left:{{ '%.2f' % lane.left }}%;width:{{ '%.2f' % lane.width }}%"></i></span>
<span class="at">{{ lane.text }}</span></div>
{% endfor %}
{% if e.more_lanes %}<div class="row"><span class="at">and {{ e.more_lanes }} more</span></div>{% endif %}
<div class="row"><span class="who">frames</span><span class="line">
{%- for f in e.frames %}<i class="frame" style="left:{{ '%.2f' % f.at }}%"></i>{% endfor -%}
</span><span class="ends"><span>{{ e.ends[0] }}</span><span>{{ e.ends[1] }}</span></span></div>
</div>
{% endif %}
{% for turn in e.turns %}{{ turn_html(turn) }}{% endfor %}
{% if e.more_turns %}
<details><summary>{{ e.more_turns | length }} more turns</summary>
{% for turn in e.more_turns %}{{ turn_html(turn) }}{% endfor %}</details>
{% endif %}
{% if e.expression %}<p class="meta">Expression: {{ e.expression }}</p>{% endif %}
{% if e.choices %}
<ol class="options">
{% for text, right in e.choices %}<li{% if right %} class="right"{% endif %}>{{ text }}</li>{% endfor %}
</ol>
{% endif %}
</article>
{% endmacro -%}
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}: data</title>
<style>{{ css }}</style>
</head>
<body>
<main>
<h1>{{ title }}: the data</h1>
<p class="lead">What training and scoring read: which samples, from where, how long, how large, and some of
them to look at.</p>
<nav aria-label="Sections"><a href="#sources">Sources</a> <a href="#tasks">Tasks</a>
<a href="#distributions">Distributions</a> <a href="#rejects">Rejects</a>
<a href="#irregular">Irregular</a> <a href="#samples">Samples</a>
<a href="#identity">Identity</a></nav>

<div class="tiles">
{% for g in groups %}
<div class="card tile"><div class="what">{{ swatch(g.kind) }}samples, {{ g.name }}</div>
<div class="value">{{ g.total("kept") | number }}</div>
<div class="from">from {{ g.scans | length }} source{{ "" if g.scans | length == 1 else "s" }}</div></div>
{% endfor %}
<div class="card tile"><div class="what">distinct videos</div>
<div class="value">{{ videos.count | number }}</div>
<div class="from">{{ videos | hours }} of video</div></div>
{% if groups | length == 2 %}
<div class="card tile"><div class="what">videos in training and in a benchmark</div>
<div class="value">{{ both | number }}</div>
<div class="from">{{ "compared by content" if not both else "their scores measure memory, too" }}</div></div>
{% endif %}
<div class="card tile"><div class="what">rejected records</div>
<div class="value">{{ manifest.sources | sum(attribute="rejected") | number }}</div>
<div class="from">of {{ manifest.sources | sum(attribute="read") | number }} read</div></div>
</div>

<h2 id="sources">Sources</h2>
<p class="legend">Read = kept + rejected + not selected. Clamped: kept, with a time that was cut at the end of
its video. A video that several sources use is one video in a sum.</p>
<div class="card scroll"><table class="wide sources">
<thead><tr><th scope="col">source</th><th scope="col">tasks</th>
{% for title in ("read", "kept", "rejected", "not selected", "clamped", "videos", "length") %}
<th scope="col" class="n">{{ title }}</th>
{% endfor %}
</tr></thead>
{% for g in groups %}
<tbody class="group">
<tr class="use"><th scope="rowgroup" colspan="9">{{ swatch(g.kind) }}{{ g.name }}</th></tr>
{% for s in g.scans %}
<tr><th scope="row">{% if shown[s.entry.name] %}<a href="#samples-{{ numbered[s.entry.name] }}">
{{- name(s.entry.name) }}</a>{% else %}{{ name(s.entry.name) }}{% endif %}</th>
<td>{% for task, count in s.tasks | dictsort %}<span class="chip">{{ task }} {{ count | number }}</span>
{% else %}<span class="legend">empty</span>{% endfor %}</td>
{{ numbers(s.number) }}{{ clip(s.videos) }}</tr>
{% endfor %}
<tr class="sum"><th scope="row">in all</th><td></td>{{ numbers(g.total) }}{{ clip(g.videos) }}</tr>
</tbody>
{% endfor %}
</table></div>

<h2 id="tasks">Tasks</h2>
<div class="card scroll"><table class="wide">
<thead><tr><th scope="col">task</th>
{% for g in groups %}<th scope="col" class="n">{{ g.name }}</th><th scope="col">share</th>{% endfor %}
</tr></thead>
<tbody>
{% for task in tasks %}
<tr><th scope="row">{{ task }}</th>
{% for g in groups %}
<td class="n">{{ g.of_task(task) | number }}</td>
<td class="bar"><span class="share"><i class="{{ g.kind }}"
style="width:{{ '%.1f' % (100 * g.of_task(task) / (g.total('kept') or 1)) }}%"></i></span></td>
{% endfor %}</tr>
{% endfor %}
</tbody></table></div>

<h2 id="distributions">Distributions</h2>
<p class="legend">{% for g in groups %}{{ swatch(g.kind) }}{{ g.name }}{% endfor %}

{% if groups | length > 1 %}· one axis, but a scale of counts for each{% endif %}

· point at a bar for its range and count</p>
<div class="figures">
{% for f in figures %}
<figure class="card"><figcaption><b>{{ f.title }}</b><br>{{ f.what }}</figcaption>
{{ f.svg | markup }}
{% if f.numbers[0][2].whole %}
<table class="num"><thead><tr><th></th><th>median</th><th>5–95 %</th><th>all</th><th>values</th></tr></thead>
<tbody>{% for kind, use, s in f.numbers %}
<tr><td title="{{ use }}">{{ swatch(kind) }}</td><td>{{ s.median }}</td><td>{{ s.middle }}</td>
<td>{{ s.whole }}</td><td>{{ s.count | number }}</td></tr>{% endfor %}
</tbody></table>
{% else %}
{% for kind, use, s in f.numbers %}<p class="num">{{ swatch(kind) }}{{ s.text }}</p>{% endfor %}
{% endif %}
</figure>
{% endfor %}
</div>
{% if missing %}<p class="legend">No sample has a value for: {{ missing | join(", ") }}.</p>{% endif %}
<ul class="notes">{% for note in notes %}<li>{{ note }}</li>{% endfor %}</ul>
{% if columns %}
<h3>Source by source</h3>
<p class="legend">The same axes, one small histogram per source; the number is the median.</p>
<div class="card scroll"><table class="wide">
<thead><tr><th scope="col">source</th>
{% for m in columns %}<th scope="col">{{ m.short }}{% if m.unit %}, {{ m.unit }}{% endif %}</th>{% endfor %}
</tr></thead>
{% for g in groups %}
<tbody class="group">
{% for s in g.scans %}
<tr><th scope="row">{{ name(s.entry.name) }}</th>
{% for cell in cells[s.entry.name] %}
<td class="sp">{% if cell.svg %}{{ cell.svg | markup }}<small>{{ cell.middle }}</small>{% endif %}</td>
{% endfor %}</tr>
{% endfor %}
</tbody>
{% endfor %}
</table></div>
{% endif %}

<h2 id="rejects">Rejects</h2>
{% if rejects %}
<p class="legend">A few keys of each; <span class="key">rejects.pq</span> has all, with the details.</p>
{{ listed(rejects, "reason", "records", false) }}
{% else %}
<p class="legend">No record was rejected.</p>
{% endif %}

<h2 id="irregular">Irregular samples</h2>
{% if irregular %}
<p class="legend">Kept, under the rules of the plan. <span class="key">irregularities.pq</span> has all, with
what was found and what was done.</p>
{{ listed(irregular, "irregularity", "samples", true) }}
{% else %}
<p class="legend">Nothing is irregular about the samples.</p>
{% endif %}

<h2 id="samples">Samples</h2>
<p class="legend">Of each source and task the same few every time, chosen by a hash of seed and key.
<mark class="object">object</mark> in the colour of its mask: pointed-at regions outlined, targets filled;
<mark class="answer">time</mark> that an answer says, <mark class="asked">time</mark> in a question,
<mark class="instant">time</mark> without an end. Frames within such a time are underlined in its colour.</p>
{{ filters("samples", ("source", "task", "category")) }}
{% for g in groups %}
{% for s in g.scans if shown[s.entry.name] %}
<details class="fold" id="samples-{{ numbered[s.entry.name] }}"
{%- if numbered[s.entry.name] <= open_folds %} open{% endif %}>
<summary><h3>{{ swatch(g.kind) }}{{ name(s.entry.name) }}</h3>
<span class="legend">{{ shown[s.entry.name] | length }} of {{ s.entry.kept | number }}</span></summary>
<div class="samples">{% for e in shown[s.entry.name] %}{{ sample(e, s.entry.name) }}{% endfor %}</div>
</details>
{% endfor %}
{% endfor %}

<h2 id="identity">Identity</h2>
<div class="card"><dl>
<dt>dataset digest</dt><dd>{{ manifest.digest }}</dd>
<dt>schema version</dt><dd>{{ manifest.schema_version }}</dd>
<dt>seed</dt><dd>{{ seed }}</dd>
<dt>shards</dt><dd>{{ manifest.shards | length | number }} of at most
{{ manifest.rows_per_shard | number }} samples,
{{ manifest.shards | sum(attribute="bytes") | size }}</dd>
{% if manifest.bake %}
<dt>baked frames</dt><dd>{{ manifest.shards | sum(attribute="frames.rows") | number }} for models that look at
{{ manifest.bake.frames }} of a video, {{ manifest.shards | sum(attribute="frames.bytes") | size }}</dd>
{% endif %}
</dl></div>
</main>
<script>{{ script | markup }}</script>
</body>
</html>
"""
)
