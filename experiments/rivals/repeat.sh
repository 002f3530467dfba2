# Makes the figures of this folder again, from the project's root; the arguments go to every training. Run by `make experiments`.
set -e
PY="${PY:-python}"
"$PY" -m cfx.train -m name=rivals_ours seed=0 "$@"
"$PY" -m cfx.train -m name=rivals model=xgem,cyclegan,pixel 'evaluation.targets=[0.0,0.5,1.0]' "$@"
"$PY" -m experiments.rivals rivals $("$PY" -m experiments.where multirun/rivals_ours multirun/rivals)
