"""The web page: a knob on the classifier's posterior, and the reader study. Loopback, no network, nothing kept."""
