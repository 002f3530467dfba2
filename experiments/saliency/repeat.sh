# Makes the figures of this folder again, from the project's root; the arguments go to every training. Run by `make experiments`.
set -e
PY="${PY:-python}"
"$PY" -m cfx.train -m name=saliency seed=0 "$@"
"$PY" experiments/saliency/run.py "run=$("$PY" -m experiments.where multirun/saliency)"   # extra `saliency`
