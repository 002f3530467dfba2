"""Whom the server answers: its own page on its own names, and nobody whom a foreign page has sent."""

import pytest
from starlette.testclient import TestClient
from visit import HOST

from cfx.evaluation.explain_tools import Tools
from cfx.viewer.guard import cookie_name, host_name, is_loopback
from cfx.viewer.server import Limits, viewer_app


@pytest.mark.parametrize("host", ["localhost:8765", "127.0.0.1:8765", "[::1]:8765", "LOCALHOST"])
def test_loopback_names_are_answered(client: TestClient, host: str) -> None:
    assert client.get("/api/run", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example:8765", "localhost.evil.example", "127.0.0.1.nip.io", "10.0.0.5:8765", "", "[::1"]
)
def test_other_names_are_refused_for_every_path(client: TestClient, host: str) -> None:
    for path in ("/", "/api/run"):
        answer = client.get(path, headers={"host": host})
        assert answer.status_code == 421 and "error" in answer.json()


def test_requests_of_other_sites_are_refused(client: TestClient) -> None:
    def status(path: str, method: str = "POST", **headers: str) -> int:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return client.request(method, path, headers=names).status_code

    assert status("/api/visits/x/forget", origin="http://evil.example") == 403
    assert status("/api/visits/x/forget", origin="null") == 403
    assert status("/api/visits/x/forget", origin="http://localhost:9999") == 403
    assert status("/api/visits/x/forget", origin=HOST) == 204
    assert status("/api/run", "GET", sec_fetch_site="cross-site") == 403
    assert status("/api/run", "GET", sec_fetch_site="same-origin") == 200
    assert status("/", "GET", sec_fetch_site="cross-site") == 200  # a link may open the page


def test_every_answer_carries_the_strict_headers(client: TestClient) -> None:
    for path in ("/", "/api/run", "/nothing", "/api/visits/x/download"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'") and "unsafe" not in policy and "http" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer" and headers["x-frame-options"] == "DENY"
    refused = client.get("/", headers={"host": "evil.example"}).headers
    assert refused["content-security-policy"].startswith("default-src 'none'")


def test_an_exposed_server_answers_to_addresses_and_named_hosts_alone(tools: Tools) -> None:
    limits = Limits(names=("reading-room",), addresses=True)
    client = TestClient(viewer_app(tools, limits=limits), base_url=HOST)
    for host, status in (
        ("10.0.0.5:8765", 200),
        ("[fe80::1]:8765", 200),
        ("reading-room:8765", 200),
        ("evil.example:8765", 421),
    ):
        assert client.get("/api/run", headers={"host": host}).status_code == status


def test_what_is_loopback() -> None:
    assert all(is_loopback(host) for host in ("localhost", "127.0.0.1", "127.8.8.8", "::1"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "::", "192.168.1.2", "example.org", ""))
    assert host_name("a.b:80") == "a.b" and host_name("[::1]:80") == "::1" and host_name("[") is None


TOKEN = "a-token_of-22-letters1"


@pytest.fixture
def exposed(tools: Tools) -> TestClient:
    """The viewer as a browser elsewhere on the network sees it, before it knows the token."""
    limits = Limits(addresses=True, token=TOKEN)
    return TestClient(
        viewer_app(tools, limits=limits), base_url="http://10.0.0.5:8765", follow_redirects=False
    )


def test_who_does_not_know_the_token_gets_nothing(exposed: TestClient) -> None:
    name = cookie_name(TOKEN)
    wrong: list[dict[str, str]] = [
        {}, {"cookie": f"{name}="}, {"cookie": f"{name}={TOKEN[:-1]}"}, {"cookie": f"cfx={TOKEN}"},
        {"cookie": ";;=\x00,\"" }, {"authorization": f"Bearer {TOKEN}"},
    ]  # fmt: skip
    for path, method in (
        ("/", "GET"), ("/?token=", "GET"), ("/?token=wrong", "GET"), (f"/api/run?token={TOKEN}", "GET"),
        ("/api/run", "GET"), ("/api/phantom", "POST"), ("/api/upload", "POST"), ("/api/visits/x/download", "GET"),
        ("/api/visits/x/forget", "POST"), ("/nothing", "GET"),
    ):  # fmt: skip
        for headers in wrong:
            answer = exposed.request(method, path, headers=headers)
            assert answer.status_code == 401, (path, headers)
            assert TOKEN not in answer.text and "set-cookie" not in answer.headers
            assert answer.headers["x-frame-options"] == "DENY"


def test_the_address_with_the_token_opens_the_page_and_leaves_it_out(exposed: TestClient) -> None:
    answer = exposed.get(f"/?token={TOKEN}")
    assert answer.status_code == 303 and answer.headers["location"] == "/"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=lax" in cookie and "path=/" in cookie
    assert exposed.get("/").status_code == 200  # the client keeps cookies, as a browser does
    assert exposed.get("/api/run").json()["finding"] == "Cardiomegaly"
    assert exposed.post("/api/visits/x/forget").status_code == 204
    # Whoever has the cookie still has to come from this page, and to its own name.
    assert exposed.post("/api/visits/x/forget", headers={"origin": "http://evil.example"}).status_code == 403
    assert exposed.get("/", headers={"host": "evil.example"}).status_code == 421


def test_each_token_has_a_cookie_of_its_own() -> None:
    assert cookie_name(TOKEN) != cookie_name(TOKEN[::-1]) and TOKEN not in cookie_name(TOKEN)
