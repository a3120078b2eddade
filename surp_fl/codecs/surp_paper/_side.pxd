"""C types of _side.py."""

cimport cython
from libc cimport math
from libc.stdint cimport int64_t, uint8_t

from surp_fl.codecs.surp_paper._candidates cimport add_to_count, arrange, pop, position_of, push, top_waiting
from surp_fl.codecs.surp_paper._scans cimport sum_and_top, track_above

cdef double _INFINITY, _SORTED_SHARE, _STALE_SHARE
cdef int64_t _FEW


@cython.final
cdef class Side:
    cdef const float[::1] _vector
    cdef const int64_t[::1] _ends
    cdef const double[::1] _scales
    cdef double[::1] _residual
    cdef int64_t[::1] _counts, _starts, _waiting, _heap
    cdef readonly int64_t[::1] tracked
    cdef readonly uint8_t[::1] refined
    cdef int64_t _expected, _arrived, _returned
    cdef readonly int64_t candidates, scans
    cdef double _threshold, _floor, _sorted_floor, _total_when_summed
    cdef readonly double total, most, least

    @cython.locals(few=bint)
    cpdef int64_t advance(self, double threshold) except -1
    cdef _sort(self, double floor)
    cdef _top(self)
    @cython.locals(top=double[::1])
    cpdef survey(self)
    @cython.locals(top=double[::1])
    cdef _sum(self)
    @cython.locals(i=int64_t)
    cdef _look_at(self, const double[::1] top)
    @cython.locals(rank=int64_t)
    cpdef int64_t select(self, double uniform) except -1
    cpdef reduce(self, int64_t position, double threshold, double next_threshold)
