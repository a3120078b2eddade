"""C types of _loops.py."""

cimport cython
from libc cimport math
from libc.stdint cimport int64_t

from surp_fl.codecs.surp_paper._record cimport Record
from surp_fl.codecs.surp_paper._side cimport Side
from surp_fl.entropy.minifloat cimport to_code, to_float

cdef double _SMALLEST_THRESHOLD, _INFINITY

@cython.locals(bits=int64_t)
cpdef int64_t bit_length(int64_t value) except -1
@cython.locals(counts=int64_t, refresh_bits=int64_t)
cpdef int64_t refinement_bits(int64_t steps, int64_t refreshes, int64_t signs, int64_t index_bits) except -1
@cython.locals(code=int64_t)
cpdef int64_t reaching_code(double least, double log_ratio) except -1
@cython.locals(code=int64_t)
cdef int64_t _estimate(Side side, int64_t n, double log_ratio) except -1
@cython.locals(
    n=int64_t, side=Side, record=Record, steps=int64_t, distinct=int64_t, finite=bint, mean=double, threshold=double,
    refresh_due=bint, code=int64_t, position=int64_t, new_refreshes=int64_t,
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
