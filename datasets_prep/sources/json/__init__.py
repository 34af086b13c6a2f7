"""JSON annotation files of any size, read in chunks."""
