"""C types of vector_scans.py."""

cimport cython
from libc.stdint cimport int32_t, int64_t

cdef int32_t _MAGNITUDE
cdef int64_t _BLOCK, _ROUNDING_ULPS, _BIN_SHIFT

@cython.locals(place=int64_t, size=int64_t)
cpdef at_least(const int32_t[::1] bits, int64_t threshold, int64_t count)
@cython.locals(n=int64_t, capacity=int64_t, end=int64_t, signs=int32_t, i=int64_t)
cdef (int64_t, int64_t) _gather(const int32_t[::1] bits, int64_t start, int32_t limit, int64_t[::1] found, int64_t size)
cpdef changed(const int32_t[::1] after, const int32_t[::1] before, int64_t max_changes)
@cython.locals(size=int64_t, n=int64_t, capacity=int64_t, start=int64_t, end=int64_t, differing=int32_t, i=int64_t, a=int64_t, b=int64_t, apart=int64_t)
cdef int64_t _gather_changes(const int32_t[::1] after, const int32_t[::1] before, int64_t[::1] found) except? -1
cpdef largest_of_rows_and_columns(const int32_t[::1] bits, int64_t columns)
@cython.locals(columns=int64_t, row=int64_t, first=int64_t, start=int64_t, end=int64_t, signs=int32_t, column=int64_t, largest=int32_t, magnitude=int32_t)
cdef int _largest(const int32_t[::1] bits, int32_t[::1] by_row, int32_t[::1] by_column) except -1
@cython.locals(i=int64_t, place=int64_t, value=double)
cdef int _count(const float[::1] vector, const int32_t[::1] bits, double[::1] counts, double[::1] energies) except -1
