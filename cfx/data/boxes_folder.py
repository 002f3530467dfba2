"""A folder of pictures with boxes and nothing else: its table is the list of pictures in the box file.

<root>/annotations.json   a COCO file, or a folder of Pascal VOC files; pictures by their path below <root> or <images>
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from cfx.data import frames
from cfx.data.boxes import Boxes, BoxFiles
from cfx.data.source import Oracle
from cfx.errors import MissingPath


class BoxesFolder:
    """Reads pictures with boxes for training and judging a detector.

    Nothing is known of patients: each picture is one of its own, unless `patient` says which part of the file's name
    is the patient's. A hash of the patient decides what is for testing.

    Args:
        root: the folder.
        table: the COCO file or the folder of VOC files, inside `root`.
        images: folder of the pictures inside `root`.
        names: class by the file's own name, see `cfx.data.boxes.BoxFiles`.
        patient: letters of the file's name that tell the patient, counted from its start; 0: the whole name.

    Raises:
        MissingPath, WrongLayout: at `frame`.
    """

    name = "boxes_folder"

    def __init__(
        self,
        root: str | Path,
        table: str = "annotations.json",
        images: str = "",
        names: Mapping[str, str | None] | None = None,
        patient: int = 0,
    ) -> None:
        self.root = Path(root).expanduser()
        self.table, self.images, self.patient = table, images, patient
        self._files = BoxFiles(str(self.root / table), names, "data.source.table")

    def prepare(self) -> None:
        """Do nothing: the files are there."""

    def oracle(self) -> Oracle | None:
        """Return None: nobody knows these patients."""
        return None

    def frame(self) -> pd.DataFrame:
        """Return the table of all pictures in the order of the file."""
        root = frames.check_root(self.root)
        names = [each.name for each in self._files.drawn()]
        if not names:
            raise MissingPath(
                "data.source.table", str(root / self.table), "lists no picture", "give another file"
            )
        stems = [Path(name).stem for name in names]
        unknown = pd.Series("", index=range(len(names)))
        result = pd.DataFrame({"image_id": names})
        result["path"] = [str(root / self.images / name) for name in names]
        result["patient_id"] = [stem[: self.patient] if self.patient else stem for stem in stems]
        result["view"] = result["sex"] = result["split"] = unknown
        result["age"] = float("nan")
        return result

    def boxes(self, frame: pd.DataFrame) -> Boxes:
        """Return the boxes of the pictures of `frame`."""
        return self._files.boxes(frame)
