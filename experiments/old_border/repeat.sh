# Makes the figures of this folder again, from the project's root; the arguments go to every training. Run by `make experiments`.
# CFX_REAL_DATA=/folder adds the radiographs.
set -e
PY="${PY:-python}"
"$PY" -m cfx.train -m name=old_border task=cardiomegaly seed=0 "$@"
"$PY" -m experiments.old_border old_border $("$PY" -m experiments.where multirun/old_border)
