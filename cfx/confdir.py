"""Where conf/ is: inside the package in a wheel, beside it in a checkout or an editable install."""

from pathlib import Path


def conf_dir() -> str:
    """Return the absolute path of the configuration folder.

    Hydra resolves a relative path against the calling file and `pkg://` against importable packages; each of
    them fails in one of checkout, editable install, wheel or multirun. An absolute path works in all four.

    Raises:
        FileNotFoundError: the installation is incomplete.
    """
    package = Path(__file__).resolve().parent
    for candidate in (package / "conf", package.parent / "conf"):
        if candidate.is_dir():
            return str(candidate)
    raise FileNotFoundError(f"conf/ is neither inside nor beside {package}: install cfx again")
