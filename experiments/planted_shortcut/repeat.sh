# Makes the figures of this folder again, from the project's root; the arguments go to every training. Run by `make experiments`.
set -e
PY="${PY:-python}"
"$PY" -m cfx.train -m name=planted_shortcut experiment=planted_shortcut "$@"
"$PY" -m experiments.collect_shortcuts planted_shortcut multirun/planted_shortcut
