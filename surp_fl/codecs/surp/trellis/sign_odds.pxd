"""C types of sign_odds.py."""

cimport cython
from libc.stdint cimport int8_t, int64_t

from surp_fl.entropy.range_coder cimport RangeDecoder, RangeEncoder

cdef int64_t _SIGN_STEP, _SIGNS_BEGIN, _MOST_SIGNS, _TOTAL, _TOTAL_BITS, _FARTHEST, _EVEN, _MOST_EIGHTHS


@cython.final
cdef class SignOdds:
    cdef int64_t _last
    cdef int64_t[::1] _columns, _row
    cdef const int64_t[::1] _lags, _weights, _eighths
    cdef int8_t[::1] _signs

    @cython.locals(column=int64_t)
    cdef int begin_row(self) except -1
    @cython.locals(told=int64_t, each=int64_t)
    cdef int64_t told(self, int64_t column) except? -1
    @cython.locals(minus=int64_t)
    cdef int encode(self, RangeEncoder encoder, int64_t column, int64_t told, bint negative) except -1
    @cython.locals(minus=int64_t, negative=int64_t)
    cdef int64_t decode(self, RangeDecoder decoder, int64_t column, int64_t told) except -1
    @cython.locals(place=int64_t, plus=int64_t, minus=int64_t, size=int64_t, more=int64_t)
    cdef int64_t _minus_of(self, int64_t column, int64_t told) except -1
    cdef int _learn(self, int64_t column, bint negative) except -1
    @cython.locals(plus=int64_t, minus=int64_t)
    cdef int _count(self, int64_t[::1] counts, int64_t at, bint negative) except -1
