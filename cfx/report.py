"""Write a run's figures and report.html again from its files, set runs side by side, or analyse a reader study.

python -m cfx.report run=runs/cardiomegaly-phantom-explainer-0123abcd
python -m cfx.report 'run=[runs/a,runs/b]' output=compared        # one table; files only where output= names a folder
python -m cfx.report multirun=multirun/losses
python -m cfx.report study=study
"""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from cfx.cli import verb
from cfx.errors import BadValue


@verb("report")
def main(config: DictConfig) -> None:
    """Write the report of the run, the runs or the reader study that ``conf/report.yaml`` names."""
    if config.study:
        from cfx.reporting.study_files import Study
        from cfx.reporting.study_report import write_study_report

        print(write_study_report(Study.open(Path(str(config.study)))).summary)
        return
    if config.multirun or OmegaConf.is_list(config.run):
        _compare(config)
        return
    if not config.run:
        raise BadValue("run", config.run, "names no run", "give run=FOLDER")
    from cfx.reporting.report import write_report
    from cfx.runs import Evaluation, Run

    run = Run.open(str(config.run))
    model = run.config.get("model") or {}
    if not config.output and model and "explainer" not in model:
        problem = f"is a run of model={model.get('name')}, which draws nothing that a report could show"
        raise BadValue(
            "run", str(run.path), problem, "read its evaluation/metrics.json, or give an explainer's run"
        )
    if not config.output and run.shipped:
        raise BadValue(
            "run", str(config.run), "lies in the installed package", "copy its folder, give run=COPY"
        )
    place = Evaluation(Path(str(config.output))) if config.output else run.evaluation
    print(write_report(run, place).summary)


def _compare(config: DictConfig) -> None:
    """Print the table of methods and controls, and write it where a folder is named for it."""
    from cfx.reporting.methods import (
        jobs_without_run,
        methods_table,
        read_entries,
        read_multirun,
        write_methods,
    )
    from cfx.reporting.paired import Comparison, compare, paired_table, read_tables, write_paired
    from cfx.reporting.seeds import seed_groups, seeds_table, write_seeds

    if config.multirun and config.run:
        raise BadValue("multirun", config.multirun, "runs are named already", "give run=... or multirun=...")
    entries = (
        read_multirun(str(config.multirun))
        if config.multirun
        else read_entries([str(each) for each in config.run])
    )
    absent = jobs_without_run(str(config.multirun)) if config.multirun else []
    print(methods_table(entries, absent).text())
    groups = seed_groups(entries)
    further = [seeds_table(groups)] if groups else []
    found = Comparison()
    if not config.multirun and len(entries) > 1:  # the others are held against the first run named
        found = compare(entries, read_tables(entries))
        further += [paired_table(found, entries[0].method)] if found.differences or found.left_out else []
    for table in further:
        print(f"\n{table.text()}")
    if config.output:
        folder = Path(str(config.output))
        written = write_methods(folder, entries, further, absent)
        written += [write_seeds(folder, groups)] if groups else []
        written += [write_paired(folder, found.differences)] if found.differences else []
        for path in written:
            print(f"written to {path}")


if __name__ == "__main__":
    main()
