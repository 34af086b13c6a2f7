"""Scores of anybody's predictions against a benchmark's own truth: no plan, no model, no Ray."""
