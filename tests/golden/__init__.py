"""What each step makes of small inputs, pinned beside the step's REVISION."""
