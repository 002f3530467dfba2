# Makes the figures of this folder again, from the project's root; the arguments go to every training. Run by `make experiments`.
set -e
PY="${PY:-python}"
"$PY" -m cfx.train -m name=phantom_edema task=edema seed=0 "$@"
"$PY" experiments/freeze.py phantom_edema multirun/phantom_edema
