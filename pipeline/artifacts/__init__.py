"""Artifacts: which steps there are, what identifies them, their records, and the state of a plan."""
