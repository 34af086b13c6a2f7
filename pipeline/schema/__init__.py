"""The record that flows, and one codec each for masks, times, Parquet rows and shards."""
