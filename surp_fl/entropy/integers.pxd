"""C types of integers.py."""

cimport cython
from libc.stdint cimport int64_t

from surp_fl.entropy.range_coder cimport RangeDecoder, RangeEncoder

cpdef void encode_bits(RangeEncoder encoder, int64_t value, int64_t width) except *
@cython.locals(value=int64_t)
cpdef int64_t decode_bits(RangeDecoder decoder, int64_t width) except? -1
@cython.locals(width=int64_t)
cpdef void encode_uint(RangeEncoder encoder, int64_t value) except *
@cython.locals(width=int64_t)
cpdef int64_t decode_uint(RangeDecoder decoder) except? -1
