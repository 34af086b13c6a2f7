"""What a stage needs, computed from its plan alone: memory of a GPU, disk, time. Pure functions."""
