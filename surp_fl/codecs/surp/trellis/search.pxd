"""C types of search.py."""

cimport cython
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t

from surp_fl.codecs.surp.trellis.transitions cimport next_state

cdef int64_t _RATES, _LAST, _STATES, _UPPER_OF_ZERO, _EACH_SUBTRACTS, _ONE
cdef double _NEVER


@cython.locals(total=int64_t, i=int64_t, value=double, level=int64_t)
cpdef int64_t in_steps(
    const float[::1] values, double step, double rounding, float[::1] magnitudes, int32_t[::1] rough
) except -1
@cython.locals(
    each=int64_t, odd_rates=int64_t, least_of_all=double, i=int64_t, u=double, at=int64_t, subtracted=double, least=double, even=double, odd=double,
    c0=double, c1=double, c2=double, c3=double, c4=double, c5=double, c6=double, c7=double,
    a0=double, a1=double, a2=double, a3=double, a4=double, a5=double, a6=double, a7=double,
    b0=double, b1=double, b2=double, b3=double, b4=double, b5=double, b6=double, b7=double, upper=int64_t,
)
cdef double _run(
    const float[::1] magnitudes, const int16_t[::1] contexts, const double[::1] rates, double slope,
    const double[::1] usual, int64_t state, double[::1] costs, uint8_t[::1] chosen, int32_t[::1] offered,
    double[::1] own,
) except? -1
@cython.locals(
    low=int64_t, even=double, odd=double, even_level=int64_t, odd_level=int64_t, odd_magnitude=double,
    even_magnitude=double, zero=double,
)
cdef void _offer(
    double u, int64_t quantiser, const double[::1] rates, int64_t at, double slope, const double[::1] usual,
    int32_t[::1] offered, int64_t place, double[::1] own,
) noexcept
@cython.locals(
    squares=double, back=int64_t, i=int64_t, upper=int64_t, low_bits=int64_t, parity=int64_t, quantiser=int64_t,
    level=int64_t, u=double,
)
cdef double _trace(
    const uint8_t[::1] chosen, const int32_t[::1] offered, int64_t state, const float[::1] magnitudes,
    const double[::1] usual, int32_t[::1] levels,
) except -1
@cython.locals(contexts_of_all=int64_t, i=int64_t, level=int64_t, at=int64_t)
cpdef int64_t count_levels(
    const int32_t[::1] levels, const int16_t[::1] contexts, int64_t state, double weight, double[::1] counts
) except -1
