"""The schema of plan files: a frozen model for each section, and how a file is read."""
