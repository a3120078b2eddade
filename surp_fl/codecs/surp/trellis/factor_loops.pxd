"""C types of factor_loops.py."""

cimport cython
from libc.stdint cimport int32_t, int64_t

from surp_fl.codecs.surp.trellis.transitions cimport next_state


cdef int64_t _TILE


@cython.locals(
    rank=int64_t, rows=int64_t, sums=double[::1], begin=int64_t, width=int64_t, row=int64_t, at=int64_t,
    component=int64_t, left=double, first=int64_t, column=int64_t,
)
cpdef void add_products(
    float[::1] values, int64_t columns, const float[::1] lefts, const float[::1] rights, const double[::1] magnitudes
) except *
@cython.locals(i=int64_t, level=int64_t, quantiser=int64_t, magnitude=double)
cpdef void values_of_levels(
    const int32_t[::1] levels, const float[::1] signed, const double[::1] magnitudes, double unit, double most,
    int64_t state, float[::1] values,
) except *
