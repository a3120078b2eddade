"""NNCodec, the reference software of ISO/IEC 15938-17: a yardstick that runs in an environment of its own."""
