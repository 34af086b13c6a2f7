"""A language model as judge of free texts: what it is asked, within which limits, and what it said before."""
