"""C types of transitions.py."""

cimport cython
from libc.stdint cimport int64_t

@cython.locals(low=int64_t)
cpdef int64_t next_state(int64_t state, int64_t parity) except -1
@cython.locals(each=int64_t)
cpdef int64_t after_zeros(int64_t state, int64_t count) except -1
