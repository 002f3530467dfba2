"""Write a run's figures and report.html again from its files, and print the summary.

python -m cfx.report run=runs/cardiomegaly-phantom-explainer-0123abcd
"""

from pathlib import Path

from omegaconf import DictConfig

from cfx.cli import verb
from cfx.errors import BadValue


@verb("report")
def main(config: DictConfig) -> None:
    """Write the report of the run that ``conf/report.yaml`` names."""
    if not config.run:
        raise BadValue("run", config.run, "names no run", "give run=FOLDER")
    from cfx.reporting.report import write_report
    from cfx.runs import Evaluation, Run

    run = Run.open(str(config.run))
    place = Evaluation(Path(str(config.output))) if config.output else run.evaluation
    print(write_report(run, place).summary)


if __name__ == "__main__":
    main()
