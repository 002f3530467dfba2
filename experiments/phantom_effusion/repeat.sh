# Makes the figures of this folder again, from the project's root; the arguments go to every training. Run by `make experiments`.
set -e
PY="${PY:-python}"
"$PY" -m cfx.train -m name=phantom_effusion task=pleural_effusion seed=0 'evaluation.targets=[0.0,0.5,1.0]' "$@"
"$PY" experiments/freeze.py phantom_effusion multirun/phantom_effusion
"$PY" experiments/recess.py phantom_effusion $("$PY" -m experiments.where multirun/phantom_effusion)
