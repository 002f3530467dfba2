"""What every request passes first: is it meant for this server, and does it come from its own page?

A page of the internet can make a browser ask a server on the visitor's own machine: by giving its own name that
machine's address (DNS rebinding), or by plain requests across sites. The first shows in the Host header, the second in
Origin and Sec-Fetch-Site. Both are refused, and the answers forbid the browser to fetch anything from elsewhere.

A server that others on the network can reach answers only who knows its token: the address that its terminal shows has
it once, as `/?token=...`; a cookie has it afterwards, and the address is without it.
"""

import hashlib
import ipaddress
import secrets
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}
_STRICTEST = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def host_name(header: str) -> str | None:
    """The name or address in a Host header, without its port, lower case; None where it is malformed."""
    try:
        return urlsplit(f"//{header}").hostname
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Whether a host that a server binds to can be reached from this machine alone."""
    if host in LOOPBACK:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class Guard:
    """Middleware that refuses foreign requests and sets the headers of every answer.

    Args:
        app: what is guarded.
        names: host names that this server answers to, besides those of loopback.
        addresses: whether it answers to any bare IP address, as it must where it is bound to all of a machine's;
            rebinding needs a name, so an address is safe.
        token: what a visitor must know; None where only this machine can ask.

    """

    def __init__(
        self, app: ASGIApp, names: Iterable[str] = (), addresses: bool = False, token: str | None = None
    ) -> None:
        self._app = app
        self._names = LOOPBACK | {name.lower() for name in names}
        self._addresses = addresses
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # no websockets here; the server closes them
        refusal = self._refusal(scope)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _ALWAYS.items():
                    headers[name] = value
                headers.setdefault("Content-Security-Policy", _STRICTEST)
            await send(message)

        answer: ASGIApp = self._app if refusal is None else refusal
        await answer(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        """The answer to a request that is not meant for this server, comes from another site or from a stranger.

        None where the request may go on.
        """
        headers = Headers(scope=scope)
        given = headers.get("host", "")
        host = host_name(given)
        if host is None or not (host in self._names or (self._addresses and _is_address(host))):
            return JSONResponse({"error": "This server does not answer to that name."}, 421)
        origin = headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc.lower() != given.lower()
        # A link from elsewhere may open the page itself; everything else is asked for by the page.
        site = headers.get("sec-fetch-site", "none")
        if foreign or (site not in ("same-origin", "none") and scope["path"] != "/"):
            return JSONResponse({"error": "Requests from other sites are refused."}, 403)
        return None if self._token is None else _stopped(scope, headers, self._token)


def cookie_name(token: str) -> str:
    """What the cookie of a token is called: one for each, as the ports of a machine share their cookies."""
    return f"cfx_{hashlib.sha256(token.encode()).hexdigest()[:12]}"


def _stopped(scope: Scope, headers: Headers, token: str) -> Response | None:
    """The answer to who does not know the token, or who has just shown it in the page's address; None to go on."""
    given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
    if scope["path"] == "/" and _same(given, token):
        answer = RedirectResponse("/", 303)  # the address that stays in the browser's history is without it
        # Lax, not Strict: else a link from a mail would lose the cookie on the way to the page.
        answer.set_cookie(cookie_name(token), token, httponly=True, samesite="lax", path="/")
        return answer
    if _same(_cookie(headers, cookie_name(token)), token):
        return None
    words = "This page opens with the whole address, token included, that its terminal shows."
    return JSONResponse({"error": words}, 401)


def _cookie(headers: Headers, name: str) -> str:
    """The value of a cookie, empty where there is none or the header is malformed."""
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(headers.get("cookie", ""))
    except CookieError:
        return ""
    return jar[name].value if name in jar else ""


def _same(given: str, token: str) -> bool:
    """Whether both are the same, in a time that does not tell how far they are."""
    return secrets.compare_digest(given.encode(), token.encode())
