"""The page of all plan keys, and their descriptions."""

from __future__ import annotations

from pydantic import Field

from pipeline.plan import reference
from pipeline.plan.base import Config


def test_the_page_is_up_to_date():
    """Catches a key that was added, removed or described differently without updating the page."""
    text = reference.PAGE.read_text(encoding="utf-8")
    assert text == reference.page(), f"docs/{reference.PAGE.name} is stale; run: {reference.COMMAND}"


def test_every_key_has_a_description():
    assert reference.without_description() == []


def test_descriptions_end_as_sentences_and_say_null():
    """The page and error messages put them next to each other."""
    for section in reference.sections():
        for name, field in section.model.model_fields.items():
            text = field.description or ""
            assert text.endswith((".", "}.", ")")), f"{section.path}.{name}: {text}"
            assert "None" not in text, f"{section.path}.{name}: a YAML file says null"


def test_a_key_without_a_description_is_found(monkeypatch):
    class Inner(Config):
        depth: int = 3

    class Toy(Config):
        inner: Inner = Field(default=Inner(), description="What lies within.")
        width: int = Field(default=2, ge=1, description="How wide <it> is.")

    monkeypatch.setattr(reference, "Plan", Toy)
    assert reference.without_description() == ["inner.depth"]
    assert "| `width` | whole number, ≥ 1 | 2 | How wide &lt;it> is. |" in reference.page()
