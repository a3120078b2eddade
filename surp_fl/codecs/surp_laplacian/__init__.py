"""SuRP as in the paper: Algorithm 1, pairs of indices and no sign bits, every index in ⌈log2 n⌉ bits."""
