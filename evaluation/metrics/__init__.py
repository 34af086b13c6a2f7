"""Pure scoring functions: numpy in, numbers out. No torch, no files."""
