"""Metrics of counterfactual explanations: pure functions first, thin torchmetrics classes over them."""
