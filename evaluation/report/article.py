"""One sample of the page as HTML, and the index by which samples are found."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.report.examples import Example
from evaluation.report.verdict import SYMBOLS, State
from pipeline.page.render import templates

LOOK = {State.RIGHT: "up", State.WRONG: "down", State.FAILED: "failed", State.UNSCORED: "flat"}

_TEMPLATE = """
{%- macro strip(pictures) %}
{% if pictures %}
<div class="strip">
{% for p in pictures %}
<figure><div class="shot"><img data-frame="{{ p.frame }}" alt="{{ p.alt }}" width="{{ p.width }}"
 height="{{ p.height }}" loading="lazy" decoding="async">
{% if p.lines %}<svg viewBox="{{ p.box }}" aria-hidden="true">{% for l in p.lines %}
<path class="{{ l.kind }}" d="{{ l.path }}" stroke="{{ l.colour }}" data-halo="{{ l.halo }}"/>
{% endfor %}</svg>{% endif %}</div>
{% if p.caption %}<figcaption>{{ p.caption }}</figcaption>{% endif %}</figure>
{% endfor %}
</div>
{% endif %}
{% endmacro -%}
<article class="card example">
<header>{% if e.category %}<span class="chip">{{ e.category }}</span>{% endif %}

<span class="key">{{ e.key }}</span></header>
<div class="q text">{{ e.question }}</div>
<div class="text"><strong>Truth:</strong> {{ e.truth or "see the solid outline" }}</div>
{% if e.legend %}
<p class="legend">{% for l in e.legend %}
<span class="entry">{% if l.kind %}<svg class="sign" viewBox="0 0 28 8" aria-hidden="true">
<path class="{{ l.kind }}" d="M1 4h26" stroke="{{ l.colour or "currentColor" }}"
 data-halo="{{ l.halo }}"/></svg>
{% else %}<span class="swatch" style="background:{{ l.colour }}"></span>{% endif %}{{ l.words }}</span>
{% endfor %}</p>
{% endif %}
{{ strip(e.pictures) }}
{% if e.problem %}<div class="failure">{{ e.problem }}</div>{% endif %}
{{ e.spans | markup }}
<div class="answers">
{% for a in e.answers %}
<div class="answer"><div class="who">{{ a.label }}</div>
<div><span class="text">{{ a.text or "(no text)" }}</span>
<span class="verdict {{ look[a.state] }}"><span aria-hidden="true">{{ symbols[a.state] }}</span>
{{ "failed · " if a.failure }}{{ a.verdict }}</span>
{% if a.failure %}<div class="failure">failure: {{ a.failure }}</div>{% endif %}
{{ strip(a.pictures) }}</div></div>
{% endfor %}
</div>
</article>
"""


class Articles:
    """Turns samples into HTML; the template is read once."""

    def __init__(self) -> None:
        self._template = templates({}).from_string(_TEMPLATE)

    def html(self, example: Example) -> str:
        """The sample as an ``article``; images name their frame, and the page's script gives it."""
        return self._template.render(e=example, look=LOOK, symbols=SYMBOLS).strip()

    def stored(self, example: Example) -> str:
        """The sample with its frames as JSON that can stand in a page."""
        return page_json({"html": self.html(example), "frames": list(example.frames)})


def index(sections: Sequence[tuple[str, Sequence[Example]]], labels: Sequence[str]) -> Mapping[str, Any]:
    """What samples are filtered by, in the order of the page.

    ``states`` and ``scores`` (0-1, or null) have one entry for each checkpoint, "none" and null without an
    answer. ``text`` is what a search looks at.
    """
    rows = []
    for name, examples in sections:
        for e in examples:
            found = {answer.label: answer for answer in e.answers}
            scores = [found[label].score if label in found else None for label in labels]
            rows.append(
                {
                    "benchmark": name,
                    "task": e.category,
                    "states": [found[label].state if label in found else "none" for label in labels],
                    "scores": [None if score is None else round(score, 4) for score in scores],
                    "text": "\n".join(
                        (e.key, e.question, e.truth, *(f"{a.text}\n{a.failure}" for a in e.answers))
                    ),
                }
            )
    return {"labels": list(labels), "samples": rows}


def page_json(value: Any) -> str:
    """JSON that cannot end the script element in which it stands."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
