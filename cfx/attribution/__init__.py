"""Saliency maps of a black box, to stand beside the explainers' own difference maps."""
