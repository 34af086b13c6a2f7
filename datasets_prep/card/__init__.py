"""The dataset's card: one page with its counts, its distributions, and samples to look at."""
