"""A model's text without markdown, LaTeX, tags and thoughts; its sentences, and options' words in it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final, NamedTuple

from pipeline.thoughts import answer_part

# Forms of width become ASCII by NFKC; these do not.
_SIGNS: Final = str.maketrans(
    {**dict.fromkeys("“”„「」『』《》«»", '"'), **dict.fromkeys("‘’´", "'")}
    | {"【": "(", "】": ")", "〔": "(", "〕": ")", "。": ". ", "、": ",", "\u200b": "", "\ufeff": ""}
)
_TEX_TEXT: Final = re.compile(
    r"\\(?:text|textbf|textit|mathrm|mathbf|mathit|mbox|operatorname)\s*\{([^{}]*)\}"
)
_TEX_SIGNS: Final = re.compile(r"\\[()\[\],;! ]|\$")
_BOXED: Final = re.compile(r"\\(?:boxed|fbox)\s*(?:\{([^{}]*)\}|([A-Za-z])\b)")
_TAG: Final = re.compile(r"</?[A-Za-z][^<>]{0,60}>|<\|[^<>|]{0,40}\|>")
_STRUCK: Final = re.compile(r"~~[^~\n]{1,300}~~")
_EMPHASIS: Final = re.compile(r"[*`]+|(?<![^\W_])_+|_+(?![^\W_])")
_LINE_MARK: Final = re.compile(  # headings, bullets, quotes, fences of code, pictograms
    r"^[^\S\n]*(?:(?:#{1,6}|[-+*•·▪>])[^\S\n]+|`{3}\w*$|[→⇒\u2600-\u27bf\u2b00-\u2bff\ufe0f\U0001f000-\U0001faff]+"
    r"[^\S\n]*)+",
    re.MULTILINE,
)
_SPEAKER: Final = re.compile(r"\s*(?:assistant|ai|bot|model)\s?:", re.IGNORECASE)
_LETTER_TAG: Final = re.compile(r"<([A-Z])>")
_SENTENCE: Final = re.compile(r"(?<=[.!?])(?<![\s(][A-Za-z]\.)[\"')]*\s+|\n+")
_WORD: Final = re.compile(r"[぀-ヿ一-鿿가-힣]|[^\W_぀-ヿ一-鿿가-힣]+(?:\.\d+)?")
_HYPHEN: Final = re.compile(r"(?<=\w)[-‐‑'](?=\w)")
# None of the patterns above finds anything in it, and no sign is replaced.
_NOTHING_TO_REMOVE: Final = re.compile(r"[A-Za-z0-9(\[\"'][A-Za-z0-9 ()\[\]\"'.,;?!/%-]*", re.ASCII)
_SMALL: Final = frozenset(("a", "an", "the", "is", "are", "was", "were", "be", "being", "been", "it"))


class Plain(NamedTuple):
    """The answer part of a text. ``boxed``: what stood in its LaTeX boxes, which stays in ``text``, too."""

    text: str
    boxed: tuple[str, ...]
    unfinished: bool  # the text ends in a thought, and this is its last line


def plain(text: str) -> Plain:
    """The answer in a text, without anything that is only for display."""
    if _NOTHING_TO_REMOVE.fullmatch(text):
        return Plain(text.strip(), (), False)
    return cleaned(text)


def cleaned(text: str) -> Plain:
    """``plain`` of any text; of one line of words and common marks it changes nothing but outer space."""
    part = answer_part(text)
    answer = text[part.start : part.stop]
    if part.unfinished:
        lines = [line for line in text.splitlines() if _TAG.sub("", line).strip()]
        answer = lines[-1] if lines else ""
    answer = unicodedata.normalize("NFKC", answer.translate(_SIGNS)).translate(_SIGNS)
    if "</" not in answer:
        answer = _LETTER_TAG.sub(r"(\1)", answer)  # <B> is bold type only where something ends it
    answer = _SPEAKER.sub("", _TAG.sub(" ", _STRUCK.sub(" ", answer)), count=1)
    for _ in range(2):  # one may stand in another
        answer = _TEX_TEXT.sub(r"\1", answer)
    answer = _TEX_SIGNS.sub("", answer)
    boxed = tuple((one[0] or one[1]).strip() for one in _BOXED.findall(answer))
    answer = _BOXED.sub(lambda found: found[1] or found[2] or "", answer)
    answer = _LINE_MARK.sub("", _EMPHASIS.sub("", _LINE_MARK.sub("", answer)))
    return Plain(answer.strip(), tuple(_EMPHASIS.sub("", one) for one in boxed), part.unfinished)


def sentences(text: str) -> list[str]:
    """Sentences and lines of a plain text. The full stop of a lone letter ("B. blue") ends none."""
    return [one for one in (piece.strip() for piece in _SENTENCE.split(text)) if one]


def words(text: str) -> list[str]:
    """Words in lower case without hyphens; articles and forms of "be" are left out if others are there."""
    if text.isascii():  # most are; letters beyond it may change their number in lower case
        every = _WORD.findall((_HYPHEN.sub("", text) if "-" in text or "'" in text else text).lower())
    else:
        every = [word.lower() for word in _WORD.findall(_HYPHEN.sub("", text))]
    return [word for word in every if word not in _SMALL] or every


class Found(NamedTuple):
    """An option's words in a list of words, from ``start`` to ``stop``."""

    option: int
    start: int
    stop: int

    @property
    def length(self) -> int:
        """How many words."""
        return self.stop - self.start


def find_options(said_words: Sequence[str], options: Sequence[Sequence[str]]) -> list[Found]:
    """Where an option's words occur consecutively; not within the words of a longer option."""
    said = list(said_words)
    every = []
    for index, option in enumerate(options):
        own = list(option)
        if own and own[0] in said:
            stops = range(len(own), len(said) + 1)
            places = (stop - len(own) for stop in stops if said[stop - len(own) : stop] == own)
            every += [Found(index, at, at + len(own)) for at in places]
    if len(every) < 2:
        return every
    return [
        one
        for one in every
        if not any(
            other.start <= one.start and one.stop <= other.stop and other.length > one.length
            for other in every
        )
    ]
