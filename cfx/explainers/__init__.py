"""Explainers: one folder a method, all behind `cfx.explainers.base`."""
