"""C types of sign_odds.py."""

cimport cython
from libc.stdint cimport int32_t, int64_t

from surp_fl.entropy.range_coder cimport RangeDecoder, RangeEncoder

cdef int64_t _SIGN_STEP, _SIGNS_BEGIN, _MOST_SIGNS


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

