"""C types of spreading.py."""

cimport cython
from libc.stdint cimport int64_t

cdef double _LARGEST

@cython.locals(n=int64_t, place=int64_t, i=int64_t, band=int64_t, weight=double)
cpdef spread(
    const float[::1] vector, const int64_t[::1] sizes, const double[::1] weights, int64_t first, int64_t step,
    double[::1] found,
)
@cython.locals(n=int64_t, place=int64_t, i=int64_t, band=int64_t, weight=double, value=double)
cpdef gather(
    const double[::1] spread_out, const int64_t[::1] sizes, const double[::1] weights, int64_t first, int64_t step,
    float[::1] found,
)
