"""Speed, shown as ratios: `make bench`, results in docs/benchmarks."""
