"""Pictures with hand-made masks."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from cfx.data.datamodule import ChestXrayDataModule
from cfx.data.masks import lungs_beside_heart
from cfx.data.masks_folder import MasksFolder
from cfx.data.reading import read_mask
from cfx.data.splits import Splits
from cfx.errors import BadValue, MissingPath, WrongLayout
from cfx.measurements import cardiothoracic_ratio


def test_the_common_table(masks_root: Path) -> None:
    frame = MasksFolder(masks_root).frame()
    assert len(frame) == 20
    assert all(Path(path).is_file() for path in [*frame["path"], *frame["mask_path"]])
    assert frame["split"].value_counts().to_dict() == {"train": 15, "valid": 5}
    assert frame["ctr_reference"].isna().sum() == 4
    parts = Splits().assign(frame)
    assert (parts[frame["split"] == "valid"] == "test").all()


def test_mistakes(masks_root: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingPath):
        MasksFolder(tmp_path / "gone").frame()
    with pytest.raises(WrongLayout, match=r"other\.csv"):
        MasksFolder(masks_root, table="other.csv").frame()
    with pytest.raises(WrongLayout, match="masks"):
        MasksFolder(masks_root, mask="masks").frame()


@pytest.mark.real
def test_the_real_set(real_data: Path) -> None:
    module = ChestXrayDataModule(MasksFolder(real_data / "wingspan_ctr"), size=128, findings=[])
    train, valid, test = (module.table(split) for split in ("train", "valid", "test"))
    assert len(train) + len(valid) == 180
    assert len(test) == 43
    batch = module.dataset("test").batch(range(43))
    assert batch["has_masks"].all()
    heart, left, right = (batch["masks"][:, channel].mean(dim=(1, 2)) for channel in range(3))
    assert heart.min() > 0.02
    assert (left.mean() < right.mean()).item()  # the heart takes its room from the left lung


@pytest.mark.real
def test_the_picture_left_out_is_the_one_whose_mask_can_not_be_measured(
    real_data: Path, repository: Path
) -> None:
    node = yaml.safe_load((repository / "conf/data/wingspan.yaml").read_text())["source"]
    frame = MasksFolder(real_data / "wingspan_ctr", exclude=node["exclude"]).frame()
    assert len(frame) == 222 and len(node["exclude"]) == 1
    bits = np.stack([read_mask(path) for path in frame["mask_path"]])
    masks = np.stack([(bits & bit) > 0 for bit in (1, 2, 4)], axis=1).astype(np.float32)
    assert np.isfinite(cardiothoracic_ratio(masks)).all()


def test_lungs_end_at_the_heart_and_wrong_masks_are_left_out(masks_root: Path) -> None:
    plain = MasksFolder(masks_root).frame()
    first = str(plain["image_id"].iloc[0])
    source = MasksFolder(masks_root, beside_heart=True, exclude=[first])
    assert set(plain["image_id"]) - set(source.frame()["image_id"]) == {first}
    bits = np.array([[1, 3, 5, 7], [2, 4, 6, 0]], dtype=np.uint8)
    assert lungs_beside_heart(bits).tolist() == [[1, 1, 1, 1], [2, 4, 6, 0]]
    with pytest.raises(BadValue, match="exclude"):
        MasksFolder(masks_root, exclude=["images/none.png"]).frame()
