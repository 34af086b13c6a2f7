"""Reading JSON annotation files of any size in chunks."""
