"""C types of _side.py."""

cimport cython
from libc cimport math
from libc.stdint cimport int64_t, uint8_t

from surp_fl.codecs.surp_paper._candidates cimport add_to_count, partition, pop, position_of, push, top_waiting
from surp_fl.codecs.surp_paper._scans cimport sum_and_top, track_above

cdef double _INFINITY, _STALE_SHARE


@cython.final
cdef class Side:
    cdef const float[::1] _vector
    cdef const int64_t[::1] _ends
    cdef const double[::1] _scales
    cdef double[::1] _residual
    cdef int64_t[::1] _tree, _heap
    cdef readonly int64_t[::1] tracked
    cdef readonly uint8_t[::1] refined
    cdef int64_t _expected, _waiting
    cdef readonly int64_t candidates, scans
    cdef double _floor, _total_when_summed
    cdef readonly double total, most, least

    cpdef int64_t advance(self, double threshold) except -1
    @cython.locals(top=double[::1])
    cpdef survey(self)
    @cython.locals(top=double[::1])
    cdef _sum(self)
    @cython.locals(i=int64_t)
    cdef _look_at(self, const double[::1] top)
    cpdef int64_t select(self, double uniform) except -1
    cpdef reduce(self, int64_t position, double threshold, double next_threshold)
