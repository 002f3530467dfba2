"""The explained classifier: networks, training, calibration and the frozen black box."""
