"""Scores of predictions of any code against a benchmark's own truth: no plan, no model, no Ray."""
