"""The language of plan files: a frozen model for each section, and how a file becomes one."""
