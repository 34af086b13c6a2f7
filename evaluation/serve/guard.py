"""Who may ask: this page alone. Checked before any other code sees a request.

A web page from elsewhere can make a browser send requests to loopback. Its own name in place of an address
(DNS rebinding) shows in the Host header, a form or script of another page in the Origin header.
"""

from __future__ import annotations

import ipaddress
from socket import gethostname
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from evaluation.serve.limits import RequestError
from evaluation.serve.replies import refused

_READS = ("GET", "HEAD")
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; media-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class SameOrigin:
    """ASGI middleware. ``host`` is the address that the server listens on."""

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app, self._host = app, host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it; every response gets the headers of this module."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        wrong = fault(scope["method"], Headers(scope=scope), self._host)
        await (refused(wrong) if wrong else self._app)(scope, receive, with_headers)


def fault(method: str, headers: Headers, host: str) -> RequestError | None:
    """Why a request is refused, or None."""
    hosts = headers.getlist("host")
    if len(hosts) != 1 or not _ours(hosts[0], host):
        return RequestError(
            421,
            f"the host {hosts[0] if hosts else ''!r}",
            "is not this server's.",
            "Open the address that `ufvideo serve` has printed.",
        )
    origin = headers.get("origin")
    elsewhere = origin is not None and urlsplit(origin).netloc != hosts[0]
    cross = headers.get("sec-fetch-site") in ("cross-site", "same-site")
    # A link from another page may open this one, but nothing else.
    followed = method in _READS and headers.get("sec-fetch-mode") == "navigate"
    if elsewhere or (cross and not followed):
        return RequestError(403, "the request", "comes from another page.", "Ask on this server's own page.")
    return None


def _ours(named: str, host: str) -> bool:
    """Whether a Host header names this server. Behind a tunnel the port may be another one."""
    try:
        name = urlsplit(f"//{named}").hostname or ""
    except ValueError:
        return False
    if name in ("localhost", host.lower()) or (not is_loopback(host) and name == gethostname().lower()):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    # An address is no name that could be bound to another machine's.
    return address.is_loopback or not is_loopback(host)


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
