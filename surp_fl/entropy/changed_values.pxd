"""C types of changed_values.py."""

cimport cython
from libc.stdint cimport int64_t

from surp_fl.entropy.adaptive_integer cimport AdaptiveInteger
from surp_fl.entropy.range_coder cimport RangeDecoder, RangeEncoder


@cython.final
cdef class ChangedValues:
    cdef list _gaps, _corrections
    cdef AdaptiveInteger _steps

    @cython.locals(context=int64_t, before=int64_t, corrected=int64_t, place=int64_t, length=int64_t)
    cpdef void encode(
        self, RangeEncoder encoder, int64_t[::1] gaps, int64_t[::1] steps, int64_t[::1] corrections,
    ) except *
    @cython.locals(
        context=int64_t, before=int64_t, corrected=int64_t, end=int64_t, place=int64_t, gap=int64_t, length=int64_t,
    )
    cpdef bint decode(
        self, RangeDecoder decoder, int64_t size, int64_t[::1] places, int64_t[::1] steps, int64_t[::1] corrections,
    ) except? -1
    cdef AdaptiveInteger _gap_model(self, int64_t context)
    cdef AdaptiveInteger _correction_model(self, int64_t corrected)


@cython.locals(length=int64_t)
cdef int64_t _bit_length(int64_t value) except -1
