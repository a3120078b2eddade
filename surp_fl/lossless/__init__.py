"""Lossless compression of whole models: arrays of numbers ↔ bytes, every bit as it was.

    model.py   a model's arrays ↔ a message
    forms.py   what of them is coded: one word of a constant array, nothing of a tied one; cut into blocks
    blocks.py  a block of numbers ↔ planes of bytes: exponents apart from mantissas, zeros apart from all else
    planes.py  a plane of bytes ↔ a constant, the bytes themselves, or deflate

The weights of a network differ in size by a few powers of two, so that the 8 bits of a float32's exponent hold fewer
than 3 bits of information; signs and mantissas are as good as random. So exponents are coded with a Huffman code, and
what does not compress is stored: a trained float32 model shrinks by a sixth, at hundreds of megabytes a second.

Source: Hershcovitch et al. 2024, "ZipNN: Lossless Compression for AI Models", arXiv 2411.05239. Knows no codec and no
Flower.
"""

from surp_fl.lossless.model import MAX_RATIO, Spec, compress, decompress

__all__ = ["MAX_RATIO", "Spec", "compress", "decompress"]
