# Makes the figures of this folder again, from the project's root; the arguments go to every training. Run by `make experiments`.
set -e
PY="${PY:-python}"
"$PY" -m cfx.train -m name=context_published experiment=singla2021_small loss.kind=context_aware,plain "$@"
"$PY" -m cfx.train -m name=context_ours loss=context_aware "$@"
"$PY" -m cfx.train -m name=context_ours_plain loss=plain evaluation.control_images=0 evaluation.descent_images=0 "$@"
"$PY" -m experiments.context_aware context_aware multirun/context_published multirun/context_ours multirun/context_ours_plain
