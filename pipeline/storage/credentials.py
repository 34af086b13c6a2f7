"""Credentials in a URI: seen before they are written anywhere, and left out of what is."""

from __future__ import annotations

import re

_USERINFO = re.compile(r"(?<=://)[^/\s]*@")  # to the last @: a password may hold one


def has_credentials(uri: str) -> bool:
    """True for a URI with ``user@`` or ``user:password@`` in it."""
    return bool(_USERINFO.search(uri))


def without_credentials(uri: str) -> str:
    """A URI without ``user:password@`` and without its query, where signed links carry theirs."""
    text = _USERINFO.sub("", uri)
    return text.partition("?")[0] if "://" in text else text
