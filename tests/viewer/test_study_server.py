"""Answering a study: blind until a step is saved, gone on with after any interruption, one file a reader."""

import hashlib
import json
from base64 import b64decode
from typing import Any

import pytest
from starlette.testclient import TestClient
from visit import HOST

from cfx.reporting.study_design import QUESTIONS
from cfx.reporting.study_files import PAIR, Study
from cfx.viewer.server import Limits
from cfx.viewer.study_server import study_app

LINES = {"heart": [0.35, 0.65], "thorax": [0.15, 0.85]}
BLIND: dict[str, Any] = {
    "real_left": 1, "real_right": 4, "same_patient": 5, "lines": {"left": LINES, "right": None},
}  # fmt: skip
OPEN = dict.fromkeys(QUESTIONS, 4)


@pytest.fixture
def reader(study: Study) -> TestClient:
    return TestClient(study_app(study, Limits()), base_url=HOST)


def due(client: TestClient, name: str = "anna") -> Any:
    return client.post("/api/next", json={"reader": name}).json()


def answer(client: TestClient, step: Any, answers: Any, name: str = "anna") -> Any:
    told = {
        "reader": name,
        "position": step["position"],
        "step": step["step"],
        "answers": answers,
        "seconds": 12.5,
    }
    return client.post("/api/answer", json=told)


def finish(client: TestClient, name: str = "anna", most: int = 100) -> int:
    """Answers until all is done or `most` steps are; returns the steps answered."""
    step, count = due(client, name), 0
    while not step["done"] and count < most:
        step = answer(client, step, BLIND if step["step"] == "blind" else OPEN, name).json()
        count += 1
    return count


def digest(uri: str) -> str:
    return hashlib.sha256(b64decode(uri.partition(",")[2])).hexdigest()


def test_a_blind_pair_tells_nothing_but_two_pictures(reader: TestClient, study: Study) -> None:
    step = due(reader)
    assert step["step"] == "blind"
    assert set(step) == {"done", "reader", "position", "total", "step", "left", "right"}
    assert step["total"] == 10  # six pairs, two strangers, two again
    showing = study.order("anna")[0]
    item = study.items[showing.item]
    shown = {digest(step["left"]), digest(step["right"])}
    assert shown == {hashlib.sha256(study.picture(n)).hexdigest() for n in (item.original, item.other)}
    left = item.original if showing.original_left else item.other
    assert digest(step["left"]) == hashlib.sha256(study.picture(left)).hexdigest()


def test_the_open_step_comes_after_the_blind_one_is_on_the_disk(reader: TestClient, study: Study) -> None:
    step = due(reader)
    while study.items[study.order("anna")[step["position"]].item].kind != PAIR:
        step = answer(reader, step, BLIND).json()
    assert "progression" not in step
    opened = answer(reader, step, BLIND).json()
    assert (opened["step"], opened["position"]) == ("open", step["position"])
    assert opened["progression"]["original"]["posterior"] == pytest.approx(
        study.items[study.order("anna")[step["position"]].item].posterior[0]
    )
    record = study.answers("anna")[-1]
    assert record["answers"]["lines"] == {"left": LINES, "right": None} and record["seconds"] == 12.5
    again = answer(reader, step, {**BLIND, "real_left": 5})
    assert again.status_code == 409 and "already" in again.json()["error"]
    assert study.answers("anna")[-1]["answers"]["real_left"] == 1  # what is saved stays


def test_strangers_are_not_opened(reader: TestClient, study: Study) -> None:
    finish(reader)
    records = study.answers("anna")
    opened = {record["item"] for record in records if record["step"] == "open"}
    assert opened == {name for name, item in study.items.items() if item.kind == PAIR}
    assert len(records) == 8 * 2 + 2 and due(reader) == {"done": True, "total": 10}


def test_going_on_after_any_step_gives_the_same_study(reader: TestClient, study: Study) -> None:
    assert finish(reader, most=3) == 3
    before = due(reader)
    fresh = TestClient(
        study_app(Study.open(study.path), Limits()), base_url=HOST
    )  # the server was started anew
    assert due(fresh) == before
    assert finish(fresh) == 18 - 3
    positions = [(r["position"], r["step"]) for r in study.answers("anna")]
    assert len(set(positions)) == 18 and positions == sorted(positions)


def test_a_line_cut_off_by_a_crash_is_asked_again(reader: TestClient, study: Study) -> None:
    finish(reader, most=2)
    file = study.path / "answers" / "anna.jsonl"
    whole = file.read_text()
    file.write_text(whole + '{"reader": "anna", "posi')
    assert len(study.answers("anna")) == 2
    step = due(reader)
    assert answer(reader, step, BLIND if step["step"] == "blind" else OPEN).status_code == 200
    lines = file.read_text().splitlines()
    assert len(lines) == 3 and all(json.loads(line) for line in lines)


def test_readers_have_files_and_orders_of_their_own(reader: TestClient, study: Study) -> None:
    finish(reader, "anna", 2)
    finish(reader, "ben", 1)
    assert study.readers() == ["anna", "ben"]
    assert [s.item for s in study.order("anna")] != [s.item for s in study.order("ben")]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"real_left": None}, "every question"),
        ({"same_patient": 6}, "every question"),
        ({"same_patient": True}, "every question"),
        ({"lines": None}, "lines on both"),
        (
            {"lines": {"left": {"heart": [0.6, 0.4], "thorax": [0.1, 0.9]}, "right": None}},
            "lines of the heart",
        ),
        ({"lines": {"left": {"heart": [0.4, 0.6]}, "right": None}}, "lines of the thorax"),
        (
            {"lines": {"left": {"heart": [0.4, 1.6], "thorax": [0.1, 0.9]}, "right": None}},
            "lines of the heart",
        ),
    ],
)
def test_incomplete_answers_are_not_written(
    reader: TestClient, study: Study, changes: dict[str, Any], words: str
) -> None:
    refused = answer(reader, due(reader), {**BLIND, **changes})
    assert refused.status_code == 422 and words in refused.json()["error"]
    assert study.answers("anna") == []


@pytest.mark.parametrize("name", ["", "../key", "a b", "x" * 40, "ärzte", "-a", "a/b", "a.b"])
def test_a_readers_code_never_names_another_file(reader: TestClient, study: Study, name: str) -> None:
    refused = reader.post("/api/next", json={"reader": name})
    assert refused.status_code == 422 and "code" in refused.json()["error"]
    assert list((study.path / "answers").iterdir()) == []


def test_codes_are_told_apart_by_their_letters_alone(reader: TestClient, study: Study) -> None:
    finish(reader, " Anna ", 1)
    assert study.readers() == ["anna"]


def test_malformed_requests_are_refused(reader: TestClient) -> None:
    assert reader.post("/api/next", content=b"{").status_code == 400
    assert reader.post("/api/next", content=b"[]").status_code == 400
    assert reader.post("/api/answer", content=b"x" * 30_000).status_code == 413
    assert (
        reader.post("/api/next", json={"reader": "a"}, headers={"origin": "http://evil.example"}).status_code
        == 403
    )
    assert reader.get("/", headers={"host": "evil.example"}).status_code == 421


def test_there_is_no_viewer_and_no_key_beside_a_study(reader: TestClient) -> None:
    for path in ("/api/run", "/api/upload", "/key.json", "/api/examples/0", "/pictures"):
        assert reader.get(path).status_code == 404
    page = reader.get("/")
    assert "Reader study" in page.text and "unsafe" not in page.headers["content-security-policy"]
    told = reader.get("/api/study").json()
    assert set(told["questions"]) == set(QUESTIONS) and len(told["scales"]["agree"]) == 5
