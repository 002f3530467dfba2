# Makes the figures of this folder again, from the project's root; the arguments go to every training. Run by `make experiments`.
set -e
PY="${PY:-python}"
centre=model.conditioning=centre
every="model.generator_every=1 model.fit.max_steps=400 model.fit.val_every=100"
average="model.ema=0.99 model.flat=0.3 model.floor=0.03"
train() { name="$1"; shift; "$PY" -m cfx.train -m "name=$name" model.seed=0,1,2 "$@"; }
train ladder_0 experiment=singla2021_small "$@"
train ladder_1 experiment=singla2021_small $centre "$@"
train ladder_2 experiment=singla2021_small $centre $every "$@"
train ladder_3 experiment=singla2021_small $centre $every $average "$@"
train ladder_5 "$@"
runs() { "$PY" -m experiments.where "multirun/$1" | paste -sd, -; }
for seed in 0 1 2; do
  [ -f multirun/ladder_4/$seed/metrics.json ] || "$PY" -m cfx.evaluate "run=$("$PY" -m experiments.where multirun/ladder_5 | sed -n $((seed + 1))p)" \
    model.explainer.knob=raw 'evaluation.targets=[0.0,0.2,0.4,0.6,0.8,1.0]' evaluation.control_images=0 \
    evaluation.descent_images=0 evaluation.return_images=0 evaluation.oracle=false output=multirun/ladder_4/$seed
done
"$PY" -m experiments.ladder singla2021 "as published, an eighth as wide=$(runs ladder_0)" \
  "+ asked for the centre of the bin=$(runs ladder_1)" "+ generator at every iteration=$(runs ladder_2)" \
  "+ averaged weights, falling step=$(runs ladder_3)" \
  "our network, loss and targets=multirun/ladder_4/0,multirun/ladder_4/1,multirun/ladder_4/2" \
  "+ knob calibrated on the black box=$(runs ladder_5)"
