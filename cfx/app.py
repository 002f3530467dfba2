"""Open a run in a browser: a picture, a knob on the classifier's posterior, outlines and numbers. Or a reader study.

python -m cfx.app run=pretrained/nih_cardiomegaly
python -m cfx.app run=runs/cardiomegaly-phantom-explainer-0123abcd port=0
python -m cfx.app run=runs/... host=0.0.0.0 expose=true   # others may come, with the address and its token alone
python -m cfx.app study=study run=runs/...        # makes the study, then serves it; later study= alone goes on
"""

import importlib.util
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from cfx.cli import verb
from cfx.errors import BadValue

if TYPE_CHECKING:
    from cfx.viewer.guard import Guard

_NEEDED = ("starlette", "uvicorn", "python_multipart")


@verb("app", forward=True)
def main(config: DictConfig) -> None:
    """Serve the run or the study that ``conf/app.yaml`` names until it is interrupted."""
    if not config.run and not config.study:
        raise BadValue(
            "run", config.run, "names no run", "give run=PATH, such as run=pretrained/nih_cardiomegaly"
        )
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise BadValue("", "cfx.app", f"needs {', '.join(missing)}", "pip install 'cfx[app]'")
    if config.overrides and not (config.study and config.run):
        argument, _, value = str(config.overrides[0]).partition("=")
        raise BadValue(argument, value, "means nothing here", "see python -m cfx.app --help")
    from cfx.viewer.serving import address_of, bound, limits_of, serve

    token = None if config.token is None else str(config.token)
    names = [str(name) for name in config.names]
    limits = limits_of(str(config.host), bool(config.expose), names, config.upload_mb, token)
    # before anything is loaded: a taken port is told at once
    with bound(str(config.host), config.port) as made:
        if config.study:
            from cfx.studying import study_app

            app = study_app(config, limits)
        else:
            app = _viewer(config, limits)
        print(f"open {address_of(made, str(config.host), limits.token)}   (Ctrl-C ends it)", flush=True)
        serve(app, made)
    print("stopped")


def _viewer(config: DictConfig, limits: object) -> "Guard":
    """The viewer of one run."""
    from cfx.explain import device_of, tools_of
    from cfx.loading import load_explainer
    from cfx.reporting.run_files import read_run
    from cfx.viewer.server import Limits, viewer_app, warm_up

    assert isinstance(limits, Limits)
    if not isinstance(config.run, str):
        raise BadValue("run", config.run, "are several runs", "give one; several make a study (study=FOLDER)")
    loaded = load_explainer(config.run, device=device_of(str(config.device)))
    tools = tools_of(loaded)
    examples = read_run(loaded.run).examples if loaded.run.evaluation.done else ()
    warm_up(tools)
    return viewer_app(tools, examples, limits)


if __name__ == "__main__":
    main()
