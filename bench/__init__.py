"""Measurements: `make bench`, or `make bench PART=latency`. Results are also in `bench/results/latest.json`."""
