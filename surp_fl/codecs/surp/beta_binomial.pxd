"""C types of beta_binomial.py."""

cimport cython
from libc.stdint cimport int64_t

from surp_fl.entropy.range_coder cimport RangeDecoder, RangeEncoder

cdef int64_t _WORK_OF_SPLIT, _FIXED_POINT, _MAX_WEIGHT, _MAX_SCALED_WEIGHT

@cython.locals(halvings=int64_t)
cpdef int64_t halvings_to_fit(int64_t left, int64_t right, int64_t max_sum) except -1
cpdef int64_t halved(int64_t weight, int64_t halvings) except -1
@cython.locals(guess=double, result=int64_t, remainder=int64_t)
cpdef int64_t quotient(int64_t dividend, int64_t divisor, int64_t cap) except -1


@cython.final
cdef class BetaBinomial:
    cdef int64_t[::1] _table
    cdef int64_t _min_j, _first, _last, _total_freq

    @cython.locals(others=int64_t, halvings=int64_t, cum_freq=int64_t, freq=int64_t, i=int64_t)
    cpdef void encode(
        self, RangeEncoder encoder, int64_t j, int64_t k, int64_t free_left, int64_t free_right, int64_t left,
        int64_t right, int64_t concentration,
    ) except *
    @cython.locals(halvings=int64_t, on_left=bint, target=int64_t, cum_freq=int64_t, freq=int64_t, j=int64_t)
    cpdef int64_t decode(
        self, RangeDecoder decoder, int64_t k, int64_t free_left, int64_t free_right, int64_t left, int64_t right,
        int64_t concentration,
    ) except -1
    @cython.locals(
        min_j=int64_t, max_j=int64_t, halvings=int64_t, probability=int64_t, a=int64_t, b=int64_t, expected=int64_t,
        peak=int64_t, total_freq=int64_t, j=int64_t, value=int64_t,
    )
    cdef int _tabulate(
        self, int64_t k, int64_t free_left, int64_t free_right, int64_t left, int64_t right, int64_t concentration,
    ) except -1
