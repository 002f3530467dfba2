"""cfx: explain a chest X-ray classifier by drawing the same patient at another probability."""

__version__ = "0.1.0"
