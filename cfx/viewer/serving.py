"""From an application to a server on one address, loopback unless the user said otherwise."""

import contextlib
import re
import secrets
import socket
from collections.abc import Sequence

import uvicorn
from starlette.types import ASGIApp

from cfx.errors import BadValue
from cfx.viewer.guard import is_loopback
from cfx.viewer.server import Limits
from cfx.viewer.uploads import MEBIBYTE

_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,128}")


def limits_of(
    host: str, expose: bool, names: Sequence[str], upload_mb: float, token: str | None = None
) -> Limits:
    """What a visitor may do, by the user's settings; an exposed page has a token, by default 128 new random bits.

    Raises:
        BadValue: a host that others can reach without `expose=true`, no size for uploads, or a token that is easily
            guessed, does not fit into an address or has nothing to guard.

    """
    if token is not None and not expose:
        raise BadValue("token", "...", "guards an exposed page alone", "leave it out, or give expose=true")
    if token is not None and not _TOKEN.fullmatch(token):
        problem = "is no token"
        raise BadValue("token", "...", problem, "give 16 to 128 letters, digits, - or _, or leave it out")
    if not is_loopback(host) and not expose:
        raise BadValue(
            "host", host, "others on the network could open the page", "give expose=true if that is meant"
        )
    if not upload_mb > 0:
        raise BadValue("upload_mb", upload_mb, "is no size", "give megabytes, such as 32")
    everywhere = host in ("", "0.0.0.0", "::")
    own = () if everywhere or is_loopback(host) else (host,)
    return Limits(
        upload=int(upload_mb * MEBIBYTE),
        names=(*own, *((*names, socket.gethostname()) if expose else ())),
        addresses=expose,
        token=(token or secrets.token_urlsafe(16)) if expose else None,
    )


def bound(host: str, port: object) -> socket.socket:
    """A socket bound to an address; port 0 takes any that is free.

    Raises:
        BadValue: the port is none or taken, or the host is no address of this machine.

    """
    text = str(port)
    if not text.isdecimal() or int(text) > 65535:
        raise BadValue("port", port, "is no port", "give a number from 0 (any) to 65535")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, int(text), type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise BadValue(
            "host", host, f"is no address ({error.strerror})", "give 127.0.0.1 or an address"
        ) from None
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind(address)
    except OSError as error:
        made.close()
        key, value = ("port", port) if error.errno in (13, 98, 48) else ("host", host)
        raise BadValue(
            key, value, f"can not be used ({error.strerror})", "give another, such as port=0 for any"
        ) from None
    return made


def address_of(made: socket.socket, host: str, token: str | None = None) -> str:
    """What to type into a browser."""
    name = (
        "localhost" if is_loopback(host) else socket.gethostname() if host in ("", "0.0.0.0", "::") else host
    )
    return f"http://{f'[{name}]' if ':' in name else name}:{made.getsockname()[1]}/{f'?token={token}' if token else ''}"


def serve(app: ASGIApp, made: socket.socket) -> None:
    """Serves an application on a bound socket until it is interrupted."""
    # No access log: file names and readers' codes do not belong on a terminal that others may see.
    settings = uvicorn.Config(
        app, access_log=False, log_level="warning", server_header=False, proxy_headers=False, ws="none"
    )
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is how it is meant to end
        uvicorn.Server(settings).run(sockets=[made])
