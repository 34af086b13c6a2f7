"""The record that flows, and one codec each for masks, Parquet rows and shards."""
