"""From shards to batches: which samples, in which order, decoded once, always the same."""
