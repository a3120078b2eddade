"""C types of _candidates.py."""

cimport cython
from libc.stdint cimport int64_t

@cython.locals(child=int64_t, parent=int64_t)
cpdef void push(int64_t[::1] heap, int64_t size, const double[::1] residual, int64_t position) except *
@cython.locals(child=int64_t)
cdef int _sift_down(int64_t[::1] heap, int64_t size, const double[::1] residual, int64_t parent) except -1
@cython.locals(i=int64_t)
cpdef void add_to_count(int64_t[::1] tree, int64_t position, int64_t change) except *
@cython.locals(step=int64_t, i=int64_t)
cpdef int64_t position_of(const int64_t[::1] tree, int64_t rank) except -1
@cython.locals(tree=int64_t[::1], heap=int64_t[::1], candidates=int64_t, waiting=int64_t, position=int64_t, i=int64_t,
               parent=int64_t)
cpdef partition(const double[::1] residual, double threshold)
@cython.locals(largest=int64_t)
cpdef int64_t pop(int64_t[::1] heap, int64_t size, const double[::1] residual) except -1
@cython.locals(popped=int64_t[::1], values=double[::1], count=int64_t, i=int64_t)
cpdef top_waiting(int64_t[::1] heap, int64_t size, const double[::1] residual, double floor, int64_t k)
