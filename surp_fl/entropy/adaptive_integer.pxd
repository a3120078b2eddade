"""C types of adaptive_integer.py."""

cimport cython
from libc.stdint cimport int64_t

from surp_fl.entropy.integers cimport decode_bits, encode_bits
from surp_fl.entropy.range_coder cimport RangeDecoder, RangeEncoder

cdef int64_t _LENGTHS, _STEP, _MOST


@cython.final
cdef class AdaptiveInteger:
    cdef int64_t _depth, _total
    cdef int64_t[::1] _frequencies
    cdef int64_t[:, ::1] _counts

    @cython.locals(length=int64_t, below=int64_t, each=int64_t, node=int64_t, left=int64_t, bit=int64_t, place=int64_t, zeros=int64_t, ones=int64_t, width=int64_t)
    cpdef void encode(self, RangeEncoder encoder, int64_t value) except *
    @cython.locals(length=int64_t, below=int64_t, target=int64_t, value=int64_t, node=int64_t, left=int64_t, bit=int64_t, place=int64_t, zeros=int64_t, ones=int64_t, width=int64_t)
    cpdef int64_t decode(self, RangeDecoder decoder) except? -1
    @cython.locals(each=int64_t)
    cdef int _learn(self, int64_t length) except -1
    cdef int _learn_bit(self, int64_t place, int64_t bit) except -1
