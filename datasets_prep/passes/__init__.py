"""The passes of preparation from a record to a shard: read, probe, finish, validate, select, write."""
