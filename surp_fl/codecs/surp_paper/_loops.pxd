"""C types of _loops.py."""

cimport cython
from libc cimport math
from libc.stdint cimport int64_t, uint8_t

from surp_fl.codecs.surp_paper._candidates cimport add_to_count, partition, pop, position_of, push, top_waiting
from surp_fl.codecs.surp_paper._scans cimport sum_and_top, track_above
from surp_fl.entropy.minifloat cimport to_code, to_float

cdef double _SMALLEST_THRESHOLD, _STALE_SHARE, _INFINITY

@cython.locals(bits=int64_t)
cpdef int64_t bit_length(int64_t value) except -1
@cython.locals(counts=int64_t, refresh_bits=int64_t)
cpdef int64_t refinement_bits(int64_t steps, int64_t refreshes, int64_t signs, int64_t index_bits) except -1
@cython.locals(code=int64_t, most=double, least=double, i=int64_t)
cdef int64_t _estimate(double total, const double[::1] top, int64_t n, double log_ratio) except -1
@cython.locals(
    n=int64_t, tracked=int64_t[::1], residual=double[::1], refined=uint8_t[::1], tree=int64_t[::1], heap=int64_t[::1],
    candidates=int64_t, waiting=int64_t, floor=double, indices=int64_t[::1], refresh_at=int64_t[::1],
    refresh_code=int64_t[::1], steps=int64_t, refreshes=int64_t, distinct=int64_t, total=double, top=double[::1],
    total_when_summed=double, finite=bint, scans=int64_t, mean=double, threshold=double, refresh_due=bint, code=int64_t,
    position=int64_t, new_refreshes=int64_t, new_distinct=int64_t,
)
cpdef refine(
    const float[::1] vector, const int64_t[::1] ends, const double[::1] scales, double log_ratio, double shrink,
    int64_t index_bits, int64_t budget_bits, int64_t max_steps, int64_t max_distinct, int64_t expected, rng,
)
@cython.locals(magnitudes=double[::1], mean=double, refresh=int64_t, step=int64_t)
cpdef rebuild(
    const int64_t[::1] indices, const int64_t[::1] refresh_at, const int64_t[::1] refresh_code, double log_ratio,
    double shrink, const int64_t[::1] order, int64_t distinct,
)
