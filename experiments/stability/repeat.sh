# Makes the figures of this folder again, from the project's root; the arguments go to every training. Run by `make experiments`.
set -e
PY="${PY:-python}"
"$PY" -m cfx.train -m name=stability model.seed=0,1,2 "$@"
"$PY" -m experiments.stability stability multirun/stability
