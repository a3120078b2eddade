"""C types of signed_levels.py."""

cimport cython
from libc.stdint cimport int16_t, int64_t

from surp_fl.entropy.adaptive_integer cimport AdaptiveInteger
from surp_fl.entropy.integers cimport decode_bits, encode_bits
from surp_fl.entropy.range_coder cimport RangeDecoder, RangeEncoder


@cython.final
cdef class SignedLevels:
    cdef int64_t _max_level
    cdef list _gaps, _magnitudes

    @cython.locals(
        gap=int64_t, gap_before=int64_t, gap_context=int64_t, before=int64_t, context=int64_t, place=int64_t,
        level=int64_t, length=int64_t, magnitude=int64_t,
    )
    cpdef void encode(self, RangeEncoder encoder, int16_t[::1] levels) except *
    @cython.locals(
        gap=int64_t, gap_before=int64_t, gap_context=int64_t, before=int64_t, context=int64_t, size=int64_t,
        place=int64_t, length=int64_t, magnitude=int64_t, negative=int64_t,
    )
    cpdef bint decode(self, RangeDecoder decoder, int16_t[::1] levels) except? -1
    cdef AdaptiveInteger _gap_model(self, int64_t context)
    cdef AdaptiveInteger _magnitude_model(self, int64_t context)


@cython.locals(length=int64_t)
cdef int64_t _bit_length(int64_t value) except -1
