"""Credentials in a URI: detected in plans, and removed from everything that is written."""

from __future__ import annotations

import re

_USERINFO = re.compile(r"(?<=://)[^/\s]*@")  # to the last @: a password may hold one


def has_credentials(uri: str) -> bool:
    """True for a URI with ``user@`` or ``user:password@`` in it."""
    return bool(_USERINFO.search(uri))


def without_credentials(uri: str) -> str:
    """A URI without ``user:password@`` and without its query, which holds the signature of signed links."""
    text = _USERINFO.sub("", uri)
    return text.partition("?")[0] if "://" in text else text
