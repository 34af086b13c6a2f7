"""The results of each step on small inputs, pinned with the step's REVISION."""
