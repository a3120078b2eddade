"""C types of transitions.py."""

cimport cython
from libc.stdint cimport int64_t

@cython.locals(low=int64_t)
cpdef int64_t next_state(int64_t state, int64_t parity) except -1
cpdef int64_t halves_of(int64_t level, int64_t state) except -1
