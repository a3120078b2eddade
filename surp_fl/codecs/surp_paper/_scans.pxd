"""C types of _scans.py."""

cimport cython
from libc.stdint cimport int64_t, uint8_t

cdef double _INFINITY

@cython.locals(parent=int64_t, size=int64_t, child=int64_t)
cdef int _offer(double[::1] top, double value) except -1
@cython.locals(a=double, b=double, c=double, d=double, block=int64_t, stop=int64_t, whole=int64_t, peak=float, i=int64_t,
               p=float, q=float, r=float, s=float)
cdef double _sum_and_top_of_run(
    const float[::1] vector, int64_t start, int64_t end, double scale, double[::1] top
) except? -1
@cython.locals(total=double, top=double[::1], start=int64_t, p=int64_t, layer=int64_t, end=int64_t, stop=int64_t)
cpdef sum_and_top(
    const float[::1] vector, const int64_t[::1] ends, const double[::1] scales, const int64_t[::1] tracked,
    const double[::1] residual, int64_t k,
)
@cython.locals(capacity=int64_t, new_tracked=int64_t[::1], new_residual=double[::1], new_refined=uint8_t[::1],
               count=int64_t, start=int64_t, p=int64_t, layer=int64_t, scale=double, cutoff=float,
               i=int64_t, next_tracked=int64_t, is_tracked=bint, magnitude=float, u=double, was_refined=bint)
cpdef track_above(
    const float[::1] vector, const int64_t[::1] ends, const double[::1] scales, const int64_t[::1] tracked,
    const double[::1] residual, const uint8_t[::1] refined, double floor,
)
cdef double _cutoff(double floor, double scale) except? -1
@cython.locals(count=int64_t, start=int64_t, layer=int64_t, cutoff=float, i=int64_t)
cdef int64_t _count_above(const float[::1] vector, const int64_t[::1] ends, const double[::1] scales, double floor) except -1
