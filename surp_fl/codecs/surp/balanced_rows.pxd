"""C types of balanced_rows.py."""

cimport cython
from libc.stdint cimport int64_t

cdef double _KAPPA
cdef int64_t _STEPS

@cython.locals(start=int64_t, low=double, high=double, middle=double, step=int64_t, i=int64_t)
cpdef void shift_rows(
    float[::1] values, int64_t columns, const double[::1] thresholds, const double[::1] magnitudes
) except *
@cython.locals(total=double, levels=int64_t, i=int64_t, shifted=double, magnitude=double, level=int64_t)
cpdef double error_sum(
    const float[::1] values, int64_t start, int64_t end, double shift, const double[::1] thresholds,
    const double[::1] magnitudes,
) except? -1
