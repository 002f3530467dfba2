# Makes the figures of this folder again, from the project's root; the arguments go to every training. Run by `make experiments`.
# CFX_REAL_DATA=/folder adds the radiographs.
set -e
PY="${PY:-python}"
"$PY" -m cfx.train -m name=widened_hearts task=cardiomegaly seed=0 "$@"
"$PY" -m experiments.widened_hearts widened_hearts $("$PY" -m experiments.where multirun/widened_hearts)
