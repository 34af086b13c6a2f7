"""The stations of a draft on its way to a shard: read, probe, finish, validate, select, write."""
