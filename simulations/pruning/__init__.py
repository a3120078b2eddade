"""Pruning of trained networks, and training of sparse ones: the experiments of the paper's sections 6, E, F and K."""
