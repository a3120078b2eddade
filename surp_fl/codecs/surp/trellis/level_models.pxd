"""C types of level_models.py."""

cimport cython
from libc.stdint cimport int64_t

from surp_fl.codecs.surp.trellis.transitions cimport after_zeros, next_state
from surp_fl.entropy.integers cimport decode_bits, encode_bits
from surp_fl.entropy.range_coder cimport RangeDecoder, RangeEncoder

cdef int64_t _CONTEXTS, _LENGTHS, _STEP, _MOST_COUNTS, _LENGTHS_BEGIN, _BITS_BEGIN, _RAW_BITS, _WORK_OF_ROW


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
    @cython.locals(flag=int64_t)
    cdef int64_t _decode_flag(self, RangeDecoder decoder, int64_t[::1] counts, int64_t place) except -1
    cdef int _learn(self, int64_t[::1] counts, int64_t at, bint flag) except -1
