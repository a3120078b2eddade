"""C types of search.py."""

cimport cython
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t

from surp_fl.codecs.surp.trellis.transitions cimport next_state

cdef int64_t _RATES, _LAST, _STATES
cdef double _NEVER


@cython.locals(
    contexts_of_all=int64_t, i=int64_t, u=double, quantiser=int64_t, at=int64_t, low=int64_t, even=double, odd=double,
    even_level=int64_t, odd_level=int64_t, level=int64_t, magnitude=double, bits=double, found=double,
    upper=int64_t, low_bits=int64_t, straight=double, crossed=double, a=double, b=double,
)
cdef void _run(
    const float[::1] magnitudes, const int16_t[::1] contexts, const double[::1] rates, double slope,
    const double[::1] first, double[::1] cost, double[::1] next_cost, uint8_t[::1] chosen, int32_t[::1] offered,
    double[::1] even_cost, double[::1] odd_cost,
) except *
cdef int64_t _after_zero(double of_even, double of_odd, double[::1] cost, double[::1] next_cost) noexcept
@cython.locals(least=double, each=int64_t)
cdef void _subtract_least(double[::1] next_cost, double[::1] cost) noexcept
@cython.locals(
    squares=double, back=int64_t, i=int64_t, upper=int64_t, low_bits=int64_t, parity=int64_t, quantiser=int64_t,
    level=int64_t, u=double,
)
cdef double _trace(
    const uint8_t[::1] chosen, const int32_t[::1] offered, int64_t state, const float[::1] magnitudes,
    const double[::1] first, int32_t[::1] levels,
) except -1
@cython.locals(contexts_of_all=int64_t, i=int64_t, level=int64_t, at=int64_t)
cpdef int64_t count_levels(
    const int32_t[::1] levels, const int16_t[::1] contexts, int64_t state, double[::1] counts
) except -1
