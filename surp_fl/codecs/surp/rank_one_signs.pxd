"""C types of rank_one_signs.py."""

cimport cython
from libc.stdint cimport int64_t

@cython.locals(
    n=int64_t, row=int64_t, total=double, gain=double, net=double, count=int64_t, k=int64_t, least=float,
    equal=int64_t, i=int64_t, size=float,
)
cpdef void keep_largest(
    const float[:, ::1] vectors, const float[:, ::1] ascending, const double[::1] bits, double slope,
    const double[::1] most_bits, float[:, ::1] signs, int64_t[::1] kept,
) except *
