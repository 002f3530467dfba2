# Makes the figures of this folder again, from the project's root; the arguments go to every training. Run by `make experiments`.
set -e
PY="${PY:-python}"
"$PY" -m cfx.train -m name=progression task=cardiomegaly,edema "$@"
"$PY" -m cfx.train -m name=progression_effusion task=pleural_effusion 'evaluation.targets=[0.0,0.5,1.0]' "$@"
[ -f multirun/progression_effusion_grid/metrics.json ] || "$PY" -m cfx.evaluate "run=$("$PY" -m experiments.where multirun/progression_effusion)" \
  'evaluation.targets=[0.0,0.2,0.4,0.6,0.8,1.0]' evaluation.control_images=0 evaluation.descent_images=0 \
  evaluation.return_images=0 output=multirun/progression_effusion_grid
"$PY" -m experiments.progression progression $("$PY" -m experiments.where multirun/progression) \
  multirun/progression_effusion_grid
