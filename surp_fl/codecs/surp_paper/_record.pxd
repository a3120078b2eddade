"""C types of _record.py."""

cimport cython
from libc.stdint cimport int64_t


@cython.final
cdef class Record:
    cdef int64_t[::1] _indices, _at, _code, _sides
    cdef readonly int64_t picks, refreshes

    cpdef add(self, int64_t index)
    @cython.locals(count=int64_t)
    cpdef refresh(self, int64_t step, int64_t code, int64_t sides)
    cpdef indices(self)
    cpdef estimates(self)
