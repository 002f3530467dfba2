"""Conditional-GAN counterfactuals: the default explainer and the published design (`singla2021`)."""
