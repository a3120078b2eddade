"""C types of _candidates.py."""

cimport cython
from libc.stdint cimport int64_t

cdef int64_t _SHIFT

@cython.locals(child=int64_t, parent=int64_t)
cpdef void push(int64_t[::1] heap, int64_t size, const double[::1] residual, int64_t position) except *
@cython.locals(largest=int64_t, parent=int64_t, child=int64_t)
cpdef int64_t pop(int64_t[::1] heap, int64_t size, const double[::1] residual) except -1
@cython.locals(counts=int64_t[::1], starts=int64_t[::1], found=int64_t[::1], size=int64_t, last=int64_t, waiting=int64_t,
               position=int64_t, level=int64_t, i=int64_t)
cpdef arrange(const double[::1] residual, double low, double threshold)
@cython.locals(i=int64_t, level=int64_t)
cpdef void add_to_count(int64_t[::1] counts, const int64_t[::1] starts, int64_t position, int64_t change) except *
@cython.locals(i=int64_t, level=int64_t)
cpdef int64_t position_of(
    const int64_t[::1] counts, const int64_t[::1] starts, const double[::1] residual, double threshold, int64_t rank
) except -1
@cython.locals(values=double[::1], popped=int64_t[::1], count=int64_t, taken=int64_t, i=int64_t, from_list=bint)
cpdef top_waiting(
    const int64_t[::1] waiting, int64_t start, int64_t[::1] heap, int64_t size, const double[::1] residual, int64_t k
)
