"""A prepared dataset on disk: Arrow rows, Parquet shards, baked frames."""
