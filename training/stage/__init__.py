"""What surrounds the loop: starting weights, trained parts, checkpoints, and resuming."""
