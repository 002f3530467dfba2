"""The attention-guided CycleGAN: one picture towards each side, the black box in no loss."""
