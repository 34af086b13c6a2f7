"""Small videos of every kind, whose pictures say which one they are."""
