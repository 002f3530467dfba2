"""Write a run's figures and report.html again from its files, and print the summary; or analyse a reader study.

python -m cfx.report run=runs/cardiomegaly-phantom-explainer-0123abcd
python -m cfx.report study=study
"""

from pathlib import Path

from omegaconf import DictConfig

from cfx.cli import verb
from cfx.errors import BadValue


@verb("report")
def main(config: DictConfig) -> None:
    """Write the report of the run or the reader study that ``conf/report.yaml`` names."""
    if config.study:
        from cfx.reporting.study_files import Study
        from cfx.reporting.study_report import write_study_report

        print(write_study_report(Study.open(Path(str(config.study)))).summary)
        return
    if not config.run:
        raise BadValue("run", config.run, "names no run", "give run=FOLDER")
    from cfx.reporting.report import write_report
    from cfx.runs import Evaluation, Run

    run = Run.open(str(config.run))
    place = Evaluation(Path(str(config.output))) if config.output else run.evaluation
    print(write_report(run, place).summary)


if __name__ == "__main__":
    main()
