"""C types of scale_factors.py."""

cimport cython
from libc cimport math
from libc.stdint cimport int64_t, uint8_t

from surp_fl.entropy.integers cimport decode_bits, encode_bits
from surp_fl.entropy.range_coder cimport RangeDecoder, RangeEncoder

cdef int64_t _FACTORS, _BITS, _SAME, _OTHER, _MOST_COUNTED, _INCREMENT, _ROUNDS
cdef double _FARTHEST, _FIRST_SAME_COST, _FIRST_OTHER_COST, _UNSENT


@cython.final
cdef class FactorModel:
    cdef readonly int64_t same, other
    cdef object _frequencies
    cdef int64_t[::1] _frequency
    cdef int64_t _total

    cpdef void changes(self, bint changed) except *
    cpdef int64_t frequency(self, int64_t factor) except -1
    @cython.locals(found=int64_t, each=int64_t)
    cpdef int64_t below(self, int64_t factor, int64_t previous) except -1
    cpdef int64_t total(self, int64_t previous) except -1
    cpdef void count(self, int64_t factor) except *


@cython.locals(model=FactorModel, previous=int64_t, factor=int64_t, i=int64_t)
cpdef encode_factors(RangeEncoder encoder, const int64_t[::1] factors)
@cython.locals(factors=int64_t[::1], model=FactorModel, previous=int64_t, changed=bint, i=int64_t)
cpdef decode_factors(RangeDecoder decoder, int64_t count)
@cython.locals(target=int64_t, factor=int64_t, cum_freq=int64_t)
cdef int64_t _decode_other(RangeDecoder decoder, FactorModel model, int64_t previous) except -1
@cython.locals(
    bands=int64_t, factors=int64_t[::1], before=uint8_t[:, ::1], squared=double[::1], new_costs=double[::1],
    cost=double[::1], cost_before=double[::1], size=double, energy=double, highest=double, below=double,
    change_cost=double, stay_cost=double, spent=double, share=double, over=double, under=double, per_bit=double,
    stay=double, change=double, i=int64_t, factor=int64_t, best=int64_t, last=int64_t,
)
cpdef choose_factors(const double[::1] energies, const int64_t[::1] sizes, double bits)
@cython.locals(over=double, under=double, i=int64_t)
cdef (double, double) _sums(
    const double[::1] energies, const int64_t[::1] sizes, const int64_t[::1] factors, const double[::1] squared,
)
@cython.locals(
    model=FactorModel, sent=double[::1], bits=double, changes=double, total=double, share=double, i=int64_t,
    factor=int64_t, previous=int64_t,
)
cdef (double, double, double) _count(const int64_t[::1] factors, double[::1] new_costs)
