"""Binding: this machine alone, unless the user says in as many words that others may come."""

import socket

import pytest

from cfx.errors import BadValue
from cfx.viewer.serving import address_of, bound, limits_of


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.org", ""])
def test_another_host_needs_expose(host: str) -> None:
    with pytest.raises(BadValue, match=r"host=.*expose=true"):
        limits_of(host, False, [], 32)
    limits = limits_of(host, True, ["reading-room"], 32)
    assert limits.addresses and "reading-room" in limits.names
    assert limits.token is not None and len(limits.token) >= 22
    assert limits.token != limits_of(host, True, [], 32).token


def test_a_token_of_the_users_own_is_long_and_guards_something() -> None:
    own = "reading-room-2026_ab"
    assert limits_of("127.0.0.1", True, [], 32, own).token == own
    for token, expose in (
        ("short", True),
        ("has spaces in it, and more", True),
        (own + "&x=1", True),
        (own, False),
    ):
        with pytest.raises(BadValue, match=r"token=") as told:
            limits_of("127.0.0.1", expose, [], 32, token)
        assert token not in str(told.value)  # a line on a terminal may be seen by others


def test_loopback_answers_to_nothing_else() -> None:
    limits = limits_of("127.0.0.1", False, ["ignored"], 0.5)
    assert limits.names == () and not limits.addresses and limits.upload == 524_288
    assert limits.token is None
    with pytest.raises(BadValue, match="upload_mb"):
        limits_of("localhost", False, [], 0)


def test_a_taken_port_is_told_in_one_line() -> None:
    with bound("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        first.listen()
        with pytest.raises(BadValue, match=rf"port={port}.*another"):
            bound("127.0.0.1", port)
        assert address_of(first, "127.0.0.1") == f"http://localhost:{port}/"
        assert address_of(first, "127.0.0.1", "abc") == f"http://localhost:{port}/?token=abc"


def test_what_is_no_address_or_port(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.raises(BadValue, match="port=70000"):
        bound("127.0.0.1", 70000)
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(BadValue, match="host='nowhere'"):
        bound("nowhere", 0)
