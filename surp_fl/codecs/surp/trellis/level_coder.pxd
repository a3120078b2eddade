"""C types of level_coder.py."""

cimport cython
from libc.stdint cimport int32_t, int64_t

from surp_fl.codecs.surp.trellis.magnitude_context cimport MagnitudeContext
from surp_fl.codecs.surp.trellis.transitions cimport after_zeros, next_state
from surp_fl.entropy.integers cimport decode_bits, encode_bits
from surp_fl.entropy.range_coder cimport RangeDecoder, RangeEncoder

cdef int64_t _CONTEXTS, _LENGTHS, _STEP, _MOST_COUNTS, _LENGTHS_BEGIN, _BITS_BEGIN, _SIGN_STEP, _SIGNS_BEGIN
cdef int64_t _MOST_SIGNS, _RAW_BITS, _WORK_OF_ROW, _WORK_OF_CELL, _WORK_OF_LEVEL, _RUN


@cython.final
cdef class LevelModels:
    cdef int64_t[::1] _lengths, _first_bits, _second_bits, _rows
    cdef int64_t _row
    cdef public int64_t state
    cdef public double sign_bits

    @cython.locals(at=int64_t, length=int64_t, longer=bint, first=int64_t, second=int64_t, left=int64_t)
    cdef int encode(self, RangeEncoder encoder, int64_t level, int64_t context) except -1
    @cython.locals(at=int64_t, length=int64_t, level=int64_t, first=int64_t, left=int64_t)
    cdef int64_t decode(self, RangeDecoder decoder, int64_t context) except -1
    cdef int encode_row(self, RangeEncoder encoder, int64_t columns, bint other) except -1
    cdef int64_t decode_row(self, RangeDecoder decoder, int64_t columns) except -1
    @cython.locals(zeros=int64_t, ones=int64_t)
    cdef int _encode_flag(self, RangeEncoder encoder, int64_t[::1] counts, int64_t place, bint flag) except -1
    @cython.locals(zeros=int64_t, ones=int64_t, flag=int64_t)
    cdef int64_t _decode_flag(self, RangeDecoder decoder, int64_t[::1] counts, int64_t place) except -1
    cdef int _learn(self, int64_t[::1] counts, int64_t at, bint flag) except -1


@cython.final
cdef class SignOdds:
    cdef int64_t _last
    cdef int32_t[::1] _columns, _row

    cdef int begin_row(self) except -1
    @cython.locals(plus=int64_t, minus=int64_t)
    cdef int encode(self, RangeEncoder encoder, int64_t column, bint negative) except -1
    @cython.locals(plus=int64_t, minus=int64_t, negative=int64_t)
    cdef int64_t decode(self, RangeDecoder decoder, int64_t column) except -1
    cdef int _learn(self, int64_t column, bint negative) except -1
    cdef int _count(self, int32_t[::1] counts, int64_t at, bint negative) except -1


@cython.locals(contexts=MagnitudeContext, signs=SignOdds, rows=int64_t, start=int64_t, column=int64_t, i=int64_t, other=bint, level=int64_t)
cpdef void encode_layer(
    RangeEncoder encoder, LevelModels models, const int32_t[::1] levels, const float[::1] values, int64_t columns,
    int64_t mean_code,
) except *
@cython.locals(
    contexts=MagnitudeContext, signs=SignOdds, rows=int64_t, start=int64_t, column=int64_t, other=int64_t, quantiser=int64_t,
    level=int64_t, bits_before=double, negative=int64_t, magnitude=double,
)
cpdef int64_t decode_layer(
    RangeDecoder decoder, LevelModels models, float[::1] values, int64_t columns, int64_t mean_code,
    const double[::1] magnitudes, double unit, double most, bint measured,
) except -1
