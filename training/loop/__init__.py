"""One worker's training loop and its parts."""
