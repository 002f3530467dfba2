"""report.html: one file, nothing fetched, under 5 MB, the verdict first, and nothing of the machine in it."""

import json
import re
import subprocess
import sys
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cfx.evaluation.explained import MARK
from cfx.reporting.html import report_html
from cfx.reporting.report import write_report
from cfx.reporting.run_files import read_run
from cfx.reporting.strips_html import strips_html
from cfx.runs import Run


class Page(HTMLParser):
    """Collects sources, links and unclosed tags."""

    VOID = frozenset({"meta", "img", "input", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.open: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["script"]:
            self.scripts.append(data)
        elif data.strip() and self.open[-1:] != ["style"]:
            self.words.append(data.strip())


def test_one_file_without_anything_to_fetch(run_folder: Path) -> None:
    text = report_html(read_run(Run(run_folder)))
    page = Page(text)
    assert page.open == [] and "link" not in page.tags
    assert page.sources and all(source.startswith("data:image/") for source in page.sources)
    assert (
        "default-src 'none'" in text and "url(" not in text and "http" not in text.replace("http-equiv", "")
    )
    assert len(text.encode()) < 5_000_000


def test_the_one_script_is_the_knob_and_the_policy_names_its_hash(run_folder: Path) -> None:
    text = report_html(read_run(Run(run_folder)))
    (script,) = Page(text).scripts
    assert "cfxProgression.enhance(document)" in script and "fetch(" not in script and "eval" not in script
    digest = b64encode(sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text and "<script>" in text and " onclick=" not in text


def test_the_verdict_comes_first_and_warnings_before_the_numbers(run_folder: Path) -> None:
    path = run_folder / "evaluation" / "metrics.json"
    metrics = json.loads(path.read_text()) | {"warnings": ["gap <near> zero"]}
    path.write_text(json.dumps(metrics))
    words = Page(report_html(read_run(Run(run_folder)))).words
    verdict = next(i for i, word in enumerate(words) if "follows heart size" in word)
    warning = words.index("gap <near> zero")
    assert verdict < warning < words.index("0.970") < words.index("By direction") < words.index("Limits")


def test_every_progression_is_there_with_its_numbers(run_folder: Path) -> None:
    text = report_html(read_run(Run(run_folder)))
    assert text.count('<figure class="strip"') == 6
    assert text.count("asked for 0.6</b>") == 6 and "CTR not measurable" in text
    assert 'id="call-TP"' in text and 'id="call-FP"' not in text  # a filter for the calls there are


def test_what_exceeds_the_size_is_left_out_and_said_so(run_folder: Path) -> None:
    examples = read_run(Run(run_folder)).examples
    whole = strips_html(examples, 10_000_000)
    part = strips_html(examples, len(whole) // 2)
    shown = part.count('<figure class="strip"')
    assert 2 <= shown < 6 and f"{6 - shown} more progressions" in part
    assert part.count("median of its group") == 2  # the medians are the last to go


def test_no_path_of_the_machine_travels_with_the_report(run_folder: Path) -> None:
    (run_folder / "config.yaml").write_text(
        "task: {name: cardiomegaly}\ndata: {root: /home/someone/films, other: ['~/x', 'C:\\data\\y'], size: 64}\n"
    )
    text = report_html(read_run(Run(run_folder)))
    assert "someone" not in text and "…/films" in text


def test_a_run_that_measured_nothing_still_has_a_report(tmp_path: Path) -> None:
    metrics: dict[str, Any] = {"task": "edema", "data": "table", "method": "explainer", "validity": None}
    metrics |= {"clinical": None, "oracle": None, "controls": None, "warnings": []}
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "metrics.json").write_text(json.dumps(metrics))
    written = write_report(Run(tmp_path))
    assert written.figure is None and written.charts == ()
    assert "Too few patients" in written.report.read_text(encoding="utf-8")


def test_writing_the_report_leaves_figures_and_a_summary(run_folder: Path) -> None:
    written = write_report(Run(run_folder))
    assert written.report == run_folder / "evaluation" / "report.html"
    assert [path.name for path in written.charts] == ["validity.png", "ctr.png"]
    assert written.figure is not None and written.figure.is_file()
    assert str(written.figure) in written.summary and str(written.report) in written.summary


def test_reporting_never_imports_torch(run_folder: Path) -> None:
    code = (
        "import sys; from cfx.runs import Run; from cfx.reporting.run_files import read_run;"
        "from cfx.reporting.html import report_html;"
        "import cfx.reporting.explained_figure, cfx.reporting.outlines_figure, cfx.reporting.plain_words;"
        "import cfx.reporting.report;"
        "report_html(read_run(Run(sys.argv[1])));"
        "sys.exit(sum(name.split('.')[0] == 'torch' for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(run_folder)], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("place", ["cell", "figure"])
def test_drawn_pictures_name_what_they_are(run_folder: Path, place: str) -> None:
    text = report_html(read_run(Run(run_folder)))
    if place == "figure":
        assert "Every picture but the first was drawn by a model" in text
    else:
        assert len(re.findall(r'alt="asked for', text)) == 36 and MARK == "synthetic counterfactual"


def test_a_report_of_many_large_noisy_progressions_stays_under_5_mb_and_fetches_nothing(
    run_folder: Path,
) -> None:
    """Two directions, four calls, three ranks at 256 pixels, all of it noise, which no JPEG makes small."""
    folder = run_folder / "evaluation" / "examples"
    rng = np.random.default_rng(0)
    for file in folder.glob("*.png"):
        Image.fromarray(rng.integers(0, 256, (256, 256), dtype=np.uint8)).save(file)
    index = json.loads((folder / "index.json").read_text())
    many = [entry | {"image_id": f"{entry['image_id']}-{turn}"} for turn in range(4) for entry in index]
    (folder / "index.json").write_text(json.dumps(many))
    run = read_run(Run(run_folder))
    assert len(run.examples) == 24
    text = report_html(run)
    assert 3_000_000 < len(text.encode()) < 5_000_000
    assert re.search(r"\d+ more progressions are in the folder examples/", text)
    sources = Page(text).sources
    assert len(sources) > 30 and all(source.startswith("data:image/") for source in sources)
    assert not re.search(r"(src|href|action)=[\"']?(https?:|//)|@import|url\(", text)


def test_the_measurement_that_a_task_is_read_by_is_explained_where_it_first_stands(run_folder: Path) -> None:
    words = " ".join(Page(report_html(read_run(Run(run_folder)))).words)
    assert words.index("CTR: heart width over inner thoracic width.") < words.index(
        "The same patient, drawn again"
    )


@pytest.fixture
def effusion_folder(run_folder: Path, effusion: dict[str, Any], recess: pd.DataFrame) -> Path:
    """The finished run, of an effusion task."""
    (run_folder / "evaluation" / "metrics.json").write_text(json.dumps(effusion))
    recess.to_parquet(run_folder / "evaluation" / "counterfactuals.parquet")
    return run_folder


def test_a_task_read_by_the_recess_charts_it_by_side_and_the_heart_as_beside_the_question(
    effusion_folder: Path,
) -> None:
    written = write_report(Run(effusion_folder))
    assert [path.name for path in written.charts] == ["validity.png", "scp.png", "ctr.png"]
    words = Page(written.report.read_text(encoding="utf-8")).words
    recess = [word for word in words if word.startswith("Healthy costophrenic recess before and after")]
    assert len(recess) == 4 and "patient's left, asked for the finding." in recess[2]
    heart = [word for word in words if word.startswith("Cardiothoracic ratio before and after")]
    assert len(heart) == 2 and all("The finding is not read by it" in word for word in heart)
    assert words.index(recess[-1]) < words.index(heart[0])


def test_the_chart_of_what_a_task_is_read_by_is_not_called_beside_the_question(run_folder: Path) -> None:
    assert "not read by it" not in report_html(read_run(Run(run_folder)))


def test_tiles_are_of_what_the_task_is_read_by_and_of_its_weaker_side(effusion_folder: Path) -> None:
    words = Page(report_html(read_run(Run(effusion_folder)))).words
    assert words[words.index("SCP moved the right way, weaker side") - 1] == "0.617"
    assert words[words.index("of the oracle's shift of SCP") - 1] == "0.74"
    assert "CTR error to the oracle" not in words


def test_the_oracle_tile_of_a_task_read_by_the_ctr_is_its_error(run_folder: Path) -> None:
    words = Page(report_html(read_run(Run(run_folder)))).words
    assert words[words.index("CTR error to the oracle") - 1] == "0.009"
    assert any("Oracle: the same patient" in word for word in words)
