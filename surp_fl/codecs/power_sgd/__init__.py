"""PowerSGD: low-rank factors of each layer by power iteration, from where the last message ended."""
