"""Measurements on the benchmark folder and the corpus, always beside baselines without learning."""
