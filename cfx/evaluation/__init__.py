"""Evaluation: runner, controls, oracle, verdict, summary, callback, examples and single files."""
