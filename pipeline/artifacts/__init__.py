"""What steps make: which steps there are, what identifies them, their records, and where a plan stands."""
