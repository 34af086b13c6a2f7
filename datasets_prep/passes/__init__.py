"""What happens to a draft on its way to a shard: read, probe, finish, validate, select, write."""
