"""Real DICOM files through the weights that ship: each ends as its header and its pixels deserve."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydicom")
pytest.importorskip("gdcm")


@pytest.mark.real
@pytest.mark.slow
def test_every_file_ends_as_it_should(real_data: Path, tmp_path: Path) -> None:
    from cfx.evaluation.explain_files import Settings, explain_files, find_images
    from cfx.explain import tools_of
    from cfx.loading import load_explainer

    tools = tools_of(load_explainer("pretrained/nih_cardiomegaly"), pictures=())
    folder = real_data / "dicom"
    settings = Settings(targets=(0.0, 1.0))

    def ends(settings: Settings) -> dict[str, Any]:
        paths = find_images(folder)
        outcomes = explain_files(paths, folder, tmp_path / "out", tools, settings, echo=lambda line: None)
        return {outcome.name: outcome for outcome in outcomes}

    found = ends(settings)
    assert len(found) == 10
    refused = {name: outcome.problem for name, outcome in found.items() if outcome.status == "failed"}
    assert sorted(refused) == ["nih_udacity_test4.dcm", "nih_udacity_test5.dcm"]
    assert "BodyPartExamined=RIBCAGE" in refused["nih_udacity_test4.dcm"]
    assert "Modality=CT" in refused["nih_udacity_test5.dcm"]
    numbers = {name: outcome.numbers for name, outcome in found.items() if outcome.numbers}
    for name, each in numbers.items():
        wrong = name == "siim_nih_jpeg_baseline_tagged_mono1.dcm"
        assert ("input unlike the training data" in each["reasons"]) == wrong
        assert any("invert=true" in note for note in each["notes"]) == wrong
    # The same patient three times: a copy, and one whose unusable patient position says nothing of the picture.
    same = [numbers[f"nih_{name}.dcm"] for name in ("google_nofinding", "udacity_test1", "udacity_test6")]
    assert len({each["original"]["posterior"] for each in same}) == 1
    # Each picture at full resolution is read again, and gives nearly what the small one gave.
    for each in numbers.values():
        for step in each["steps"]:
            assert step["full_resolution"]["posterior"] == pytest.approx(step["posterior"], abs=0.05)
    # The negative turned round is the picture beside it.
    turned = ends(Settings(targets=(0.0, 1.0), invert=True))["siim_nih_jpeg_baseline_tagged_mono1.dcm"]
    right = numbers["siim_nih_jpeg_baseline_mono2.dcm"]
    assert turned.numbers["original"]["posterior"] == pytest.approx(right["original"]["posterior"], abs=1e-4)
    forced = ends(Settings(targets=(0.0, 1.0), force=True))
    assert all(outcome.status in ("done", "kept") for outcome in forced.values())
