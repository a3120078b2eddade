"""C types of magnitude_groups.py."""

cimport cython
from libc cimport math
from libc.stdint cimport int64_t

cdef double _GROUP_BITS, _MIN_MAGNITUDE_SHARE

cpdef split_by_magnitude(const double[::1] values, double slope)
@cython.locals(
    k=int64_t, total=double, i=int64_t, boundary=int64_t, most=double, bits=double, upper=double, first=int64_t,
    share=double, gain=double, split_bits=double,
)
cdef double _split(const double[::1] values, int64_t start, int64_t end, double slope, list groups) except? -1
