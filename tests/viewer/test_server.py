"""The viewer's API: a picture in, a whole progression out; limits said in words; nothing on a disk."""

import hashlib
import json
import re
import zipfile
from base64 import b64decode, b64encode
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient
from visit import HOST, chest, dicom, encoded

from cfx.evaluation.explain_tools import Tools
from cfx.reporting.run_files import Example
from cfx.viewer.server import phantom_picture, viewer_app, warm_up
from cfx.viewer.uploads import kind_of


def give(client: TestClient, content: bytes, name: str = "chest.png") -> Any:
    return client.post("/api/upload", files={"file": (name, content)})


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "DICOM"])
def test_a_picture_comes_back_at_every_step_in_one_answer(client: TestClient, kind: str) -> None:
    content = dicom(chest()) if kind == "DICOM" else encoded(chest(), kind)
    answer = give(client, content, f"film.{kind.lower()}")
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["name"], told["height"], told["width"]) == (f"film.{kind.lower()}", 96, 80)
    assert (told["finding"], told["measure"]["floor"]) == ("Cardiomegaly", 0.027)
    assert [step["target"] for step in told["steps"]] == pytest.approx(np.linspace(0, 1, 21))
    reached = [step["posterior"] for step in told["steps"]]
    assert reached == sorted(reached) and reached[-1] - reached[0] > 0.5
    for item in (told["original"], *told["steps"]):
        assert item["picture"].startswith("data:image/jpeg;base64,")
        assert item["outlines"]["heart"] and set(item["lines"]) == {"heart", "thorax"}
    assert "Secret" not in answer.text and "4711" not in answer.text  # nothing else of a DICOM file travels


def test_monochrome1_is_turned_bone_white(client: TestClient) -> None:
    ramp = np.tile(np.linspace(0, 250, 80).astype(np.uint8), (96, 1))
    pictures = []
    for kind in ("MONOCHROME2", "MONOCHROME1"):
        source = give(client, dicom(ramp, kind), "x.dcm").json()["original"]["picture"]
        with Image.open(BytesIO(b64decode(source.partition(",")[2]))) as picture:
            pictures.append(np.asarray(picture, float))
    assert np.abs(pictures[0] + pictures[1] - 255).mean() < 3


@pytest.mark.parametrize(
    ("content", "name", "status", "words"),
    [
        (b"no picture at all", "notes.png", 415, "notes.png is no PNG, JPEG or DICOM"),
        (b"GIF89a" + b"0" * 50, "a.gif", 415, "no PNG, JPEG or DICOM"),
        (b"", "empty.png", 415, "no PNG, JPEG or DICOM"),
        (encoded(chest())[:200], "cut.png", 422, "can not be decoded"),
        (b"\0" * 128 + b"DICM" + b"\0" * 40, "broken.dcm", 422, "it holds no pixels"),
        (encoded(chest(8, 8)), "tiny.png", 422, "too few to show a chest"),
        (dicom(chest(), Modality="CT"), "slice.dcm", 422, "Modality=CT, which is no radiograph"),
        (
            dicom(chest(), BodyPartExamined="KNEE"),
            "knee.dcm",
            422,
            "BodyPartExamined=KNEE, which is no chest",
        ),
        (b"\0" * 128 + b"DICM" + b"1.2.840.10008.1.2.1.99", "bomb.dcm", 415, "deflated DICOM"),
        (b"x" * 300_000, "large.png", 413, "larger than 0.19"),
    ],
)
def test_what_can_not_be_read_is_refused_in_words(
    client: TestClient, content: bytes, name: str, status: int, words: str
) -> None:
    answer = give(client, content, name)
    assert answer.status_code == status and words in answer.json()["error"]
    assert answer.json()["error"].endswith(".")


def test_a_picture_bomb_is_not_unpacked(client: TestClient) -> None:
    buffer = BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, format="PNG")
    assert len(buffer.getvalue()) < 100_000
    answer = give(client, buffer.getvalue(), "bomb.png")
    assert answer.status_code == 422 and "can not be decoded" in answer.json()["error"]
    claimed = dicom(chest())
    for tag in (b"\x28\x00\x10\x00US\x02\x00", b"\x28\x00\x11\x00US\x02\x00"):
        head, found, rest = claimed.partition(tag)
        claimed = head + found + b"\xff\xff" + rest[2:]
    answer = give(client, claimed, "wide.dcm")
    assert answer.status_code == 422 and "pixels are more than" in answer.json()["error"]


def test_a_body_that_hides_its_length_is_cut_off(client: TestClient) -> None:
    def parts() -> Any:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="x.png"\r\n\r\n'
        for _ in range(100):
            yield b"x" * 10_000

    answer = client.post(
        "/api/upload", content=parts(), headers={"content-type": "multipart/form-data; boundary=b"}
    )
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"content": b"{}", "headers": {"content-type": "application/json"}}, 415),
        ({"content": b"--x", "headers": {"content-type": "multipart/form-data"}}, 400),
        ({"data": {"file": "text"}, "files": {"other": ("a.png", b"x")}}, 400),
        ({"files": [("file", ("a.png", b"x")), ("file", ("b.png", b"x"))]}, 400),
    ],
)
def test_a_malformed_upload_is_refused(client: TestClient, sent: dict[str, Any], status: int) -> None:
    answer = client.post("/api/upload", **sent)
    assert answer.status_code == status and answer.json()["error"]


def test_an_upload_never_touches_a_disk(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was written to a temporary file")

    rng = np.random.default_rng(0)
    noise = encoded(rng.integers(0, 255, (420, 420)).astype(np.uint8))
    assert len(noise) > 150_000
    with monkeypatch.context() as patched:
        patched.setattr(tempfile.SpooledTemporaryFile, "rollover", refuse)
        patched.setattr(tempfile, "NamedTemporaryFile", refuse)
        patched.setattr(tempfile, "mkstemp", refuse)
        assert give(client, noise).status_code == 200


def test_the_download_is_the_visits_own_and_goes_when_it_is_forgotten(client: TestClient) -> None:
    told = give(client, encoded(chest()), "my film.png").json()
    answer = client.get(f"/api/visits/{told['id']}/download")
    assert answer.status_code == 200
    assert 'filename="my_film_counterfactuals.zip"' in answer.headers["content-disposition"]
    with zipfile.ZipFile(BytesIO(answer.content)) as packed:
        assert json.loads(packed.read("numbers.json"))["image"] == "my film.png"
    assert client.post(f"/api/visits/{told['id']}/forget").status_code == 204
    gone = client.get(f"/api/visits/{told['id']}/download")
    assert gone.status_code == 404 and "no longer kept" in gone.json()["error"]


def test_a_few_visits_at_most_are_kept(client: TestClient) -> None:
    content = encoded(chest(32, 32))
    names = [give(client, content).json()["id"] for _ in range(9)]
    kept = [client.get(f"/api/visits/{names[place]}/download").status_code for place in (0, 1)]
    assert kept == [404, 200]


def test_a_file_name_is_only_a_name(client: TestClient) -> None:
    told = give(client, encoded(chest()), "../../etc/<b>passwd</b>.png").json()
    assert told["name"] == "passwd</b>.png" or "/" not in told["name"].replace("</b>", "")
    long = give(client, encoded(chest()), "x" * 4000 + ".png").json()
    assert len(long["name"]) <= 120


def test_examples_are_shown_once_and_drawn_anew(tools: Tools, tmp_path: Path) -> None:
    Image.fromarray(chest(32, 32)).save(tmp_path / "a.png")
    example = Example(
        "image7", "p1", "up", "TN", "best", (0.0, 1.0), (0.1, 0.9), (None, None), 0.2, 0.4,
        tmp_path / "a.png", (tmp_path / "a.png",) * 2, note="F, 63 y, PA",
    )  # fmt: skip
    app = viewer_app(tools, (example, replace(example, rank="median")))
    client = TestClient(app, base_url=HOST)
    told = client.get("/api/run").json()
    assert [card["note"] for card in told["examples"]] == ["F, 63 y, PA"]
    assert told["examples"][0]["call"] == "true negative call" and told["finding"] == "Cardiomegaly"
    drawn = client.post("/api/examples/0").json()
    assert drawn["name"] == "image7" and len(drawn["steps"]) == 21
    missing = client.post("/api/examples/1")
    assert missing.status_code == 404 and missing.json()["error"]
    assert client.get("/api/examples/0").status_code == 405
    assert client.get("/api/../conftest.py").status_code == 404


def test_the_phantom_needs_no_picture(client: TestClient) -> None:
    told = client.post("/api/phantom").json()
    assert (told["height"], told["width"]) == (256, 256) and "no patient" in told["name"]
    grey = phantom_picture()
    assert grey.shape == (256, 256) and 0 <= grey.min() < 0.3 < grey.max() <= 1


def test_the_page_is_whole_and_may_run_only_its_own_script(client: TestClient) -> None:
    answer = client.get("/")
    (script,) = re.findall(r"<script>(.*)</script>", answer.text, re.DOTALL)
    (style,) = re.findall(r"<style>(.*)</style>", answer.text, re.DOTALL)
    policy = answer.headers["content-security-policy"]
    for kind, text in (("script", script), ("style", style)):
        digest = b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in policy
    assert "cfxProgression" in script and "url(" not in style and "@import" not in style
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", answer.text)
    assert not re.search(r"\son[a-z]+=|style=", answer.text.partition("<body>")[2].partition("<script>")[0])


def test_a_defect_is_told_without_its_traceback(tools: Tools) -> None:
    def broken(images: Any) -> Any:
        raise RuntimeError("secret detail")

    app = viewer_app(replace(tools, segmenter=broken))
    client = TestClient(app, base_url=HOST, raise_server_exceptions=False)
    answer = give(client, encoded(chest()))
    assert answer.status_code == 500 and "secret" not in answer.text and answer.json()["error"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_files_are_told_by_their_bytes() -> None:
    assert [kind_of(c) for c in (encoded(chest()), encoded(chest(), "JPEG"), dicom(chest()))] == [
        "PNG",
        "JPEG",
        "DICOM",
    ]
    assert kind_of(b"") is None and kind_of(b"%PDF-1.7") is None


def test_warming_up_draws_once(tools: Tools) -> None:
    warm_up(tools)
    assert tools.explainer.calls == 1  # type: ignore[comparison-overlap]
