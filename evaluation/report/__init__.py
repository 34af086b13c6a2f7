"""The results of evaluation: a table for the terminal, the same as JSON, and a page to look at."""
