"""C types of layer_weights.py."""

cimport cython
from libc cimport math
from libc.stdint cimport int64_t

from surp_fl.entropy.range_coder cimport RangeDecoder, RangeEncoder

cdef int64_t _EXPONENTS, _STEPS, _DEFAULT, _MIN_PICKS
cdef double _INFINITY, _OCTAVES_PER_STEP
cdef const int64_t[::1] _EXPONENT_CUM_FREQ, _EXP2
cdef const double[::1] _FRACTIONS, _OCTAVES

@cython.locals(sums=int64_t[::1], below=int64_t, i=int64_t)
cdef _cumulative(const int64_t[::1] log2_weights, int64_t exponent)
@cython.locals(cum_freq=int64_t)
cpdef void encode_exponent(RangeEncoder encoder, int64_t exponent) except *
@cython.locals(target=int64_t, exponent=int64_t, cum_freq=int64_t)
cpdef int64_t decode_exponent(RangeDecoder decoder) except -1


@cython.final
cdef class WeightTable:
    cdef const int64_t[::1] _log2_weights
    cdef double[::1] _totals
    cdef list _sums

    cpdef int64_t size(self) except -1
    cpdef int64_t log2_weight(self, int64_t rank) except? -1
    cpdef cumulative(self, int64_t exponent)
    @cython.locals(total=double, below=int64_t, i=int64_t)
    cpdef double total(self, int64_t exponent) except? -1
    @cython.locals(best=int64_t, exponent=int64_t, i=int64_t, steps=int64_t, bits=double, fewest_bits=double)
    cpdef int64_t best_exponent(self, const int64_t[::1] ranks) except -1
