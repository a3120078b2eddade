"""QSGD: stochastic levels of the norms of buckets."""
