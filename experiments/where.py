"""Print the run folders of finished multiruns, in the order of their jobs: for scripts that go on with them.

python -m experiments.where multirun/rivals
"""

import sys
from pathlib import Path

from cfx.runs import jobs_of


def main(arguments: list[str]) -> int:
    """Print one folder a line; exit code 2 where no multirun is named or one holds no finished job."""
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    for place in arguments:
        runs = jobs_of(Path(place))
        if not all(run.finished for run in runs):
            print(f"error: {place} holds no finished runs", file=sys.stderr)
            return 2
        for run in runs:
            print(run.path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
