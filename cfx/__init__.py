"""cfx: counterfactual explanations of chest X-ray classifiers."""
