"""What evaluation has to say: a table for the terminal, the same as JSON, and a page to look at."""
