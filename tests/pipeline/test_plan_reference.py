"""The page of all plan keys, and the descriptions that it is made of."""

from __future__ import annotations

from pydantic import Field

from pipeline.plan import reference
from pipeline.plan.base import Config


def test_the_page_is_that_of_the_sections():
    """Catches a key that was added, dropped or described anew without the page."""
    text = reference.PAGE.read_text(encoding="utf-8")
    assert text == reference.page(), f"docs/{reference.PAGE.name} is stale; run: {reference.COMMAND}"


def test_every_key_has_a_description():
    assert reference.without_description() == []


def test_descriptions_are_whole_sentences():
    """The page and the errors of the plan put them side by side."""
    for section in reference.sections():
        for name, field in section.model.model_fields.items():
            text = field.description or ""
            assert text.endswith((".", "}.", ")")), f"{section.path}.{name}: {text}"
            assert "None" not in text, f"{section.path}.{name}: a YAML file says null"


def test_a_key_without_description_is_found(monkeypatch):
    class Inner(Config):
        depth: int = 3

    class Toy(Config):
        inner: Inner = Field(default=Inner(), description="What lies within.")
        width: int = Field(default=2, ge=1, description="How wide <it> is.")

    monkeypatch.setattr(reference, "Plan", Toy)
    assert reference.without_description() == ["inner.depth"]
    assert "| `width` | whole number, ≥ 1 | 2 | How wide &lt;it> is. |" in reference.page()
