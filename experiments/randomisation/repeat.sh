# Makes the figures of this folder again, from the project's root; the arguments go to every training. Run by `make experiments`.
set -e
PY="${PY:-python}"
"$PY" -m cfx.train -m name=randomisation experiment=randomisation "$@"
"$PY" -m experiments.collect_shortcuts randomisation multirun/randomisation
"$PY" -m cfx.train -m name=randomisation_unpriced experiment=randomisation loss.change=1.0 "$@"
"$PY" -m experiments.collect_shortcuts randomisation/unpriced multirun/randomisation_unpriced
