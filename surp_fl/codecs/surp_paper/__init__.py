"""SuRP as in the paper: Algorithm 2, every index in ⌈log2 n⌉ bits."""
