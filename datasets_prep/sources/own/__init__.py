"""Records of one's own data, the format ``jsonl``: its fields, its texts, its objects."""
