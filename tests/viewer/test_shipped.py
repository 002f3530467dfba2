"""The weights that ship with the package answer in the viewer straight away."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from visit import HOST

from cfx.explain import tools_of
from cfx.loading import load_explainer
from cfx.viewer.server import viewer_app


@pytest.fixture(scope="module")
def shipped() -> Iterator[TestClient]:
    tools = tools_of(load_explainer("pretrained/nih_cardiomegaly"))
    with TestClient(viewer_app(tools), base_url=HOST) as client:
        yield client


def test_the_shipped_weights_draw_a_phantom(shipped: TestClient) -> None:
    assert shipped.get("/api/run").json()["finding"] == "Cardiomegaly"
    told = shipped.post("/api/phantom").json()
    reached = [step["posterior"] for step in told["steps"]]
    assert reached == sorted(reached) and reached[-1] - reached[0] > 0.3
    assert all(step["verdict"]["text"] for step in told["steps"])


@pytest.mark.real
def test_real_dicom_files_are_drawn_and_measured(shipped: TestClient, real_data: Path) -> None:
    files = sorted((real_data / "dicom").glob("*.dcm"))
    assert files
    measured = refused = 0
    for file in files:
        answer = shipped.post("/api/upload", files={"file": (file.name, file.read_bytes())})
        if answer.status_code == 422:
            refused += "its header says" in answer.text
            continue
        assert answer.status_code == 200, (file.name, answer.text)
        told = answer.json()
        measured += told["original"]["measured"] is not None and set(told["original"]["lines"]) == {
            "heart",
            "thorax",
        }
        assert "PatientName" not in answer.text
    assert refused == 2  # they were put there with another modality or body part
    assert measured == len(files) - refused
