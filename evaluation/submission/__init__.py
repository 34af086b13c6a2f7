"""Submissions: the archives in which answers go to a benchmark's server, which alone knows the truth."""
