"""Fills a template. A page is one self-contained file, to be mailed and read offline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


def render_page(
    template: str, *, css: str, filters: Mapping[str, Callable[..., Any]] | None = None, **values: Any
) -> str:
    """HTML of a jinja2 template. All text is escaped; only the filter ``markup`` lets text through as it is.

    The template sees ``css``, which is not escaped, and ``values``. A name that is missing is an error.
    """
    from markupsafe import Markup

    return templates(filters or {}).from_string(template).render(css=Markup(css), **values)


def templates(filters: Mapping[str, Callable[..., Any]]) -> Environment:
    """Templates under the same rules, for parts of a page that are rendered many times."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    made = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters |= {"markup": Markup, **filters}
    return made
