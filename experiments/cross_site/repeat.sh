# Makes the figures of this folder again, from the project's root; the arguments go to every training. Run by `make experiments`.
set -e
PY="${PY:-python}"
"$PY" -m cfx.train -m name=site_a seed=0 "$@"
at_a=$("$PY" -m experiments.where multirun/site_a)
[ -f multirun/site_b_applied/metrics.json ] || "$PY" -m cfx.evaluate "run=$at_a" data=phantom data.source.site=B \
  output=multirun/site_b_applied
"$PY" -m cfx.train -m name=site_b_trained data=phantom_b blackbox=checkpoint "blackbox.path=$at_a/parts/blackbox" "$@"
at_b=$("$PY" -m experiments.where multirun/site_b_trained)
for case in home applied trained; do mkdir -p experiments/cross_site/$case; done
cp "$at_a/evaluation/metrics.json" "$at_a/environment.json" experiments/cross_site/home/
cp multirun/site_b_applied/metrics.json experiments/cross_site/applied/
cp "$at_b/evaluation/metrics.json" "$at_b/environment.json" experiments/cross_site/trained/
cp "$at_b/evaluation/progressions.png" experiments/cross_site/progression.png
