"""C types of _loops.py."""

cimport cython
from libc cimport math
from libc.stdint cimport int64_t

from surp_fl.codecs.surp_paper._loops cimport reaching_code, refinement_bits
from surp_fl.codecs.surp_paper._record cimport Record
from surp_fl.codecs.surp_paper._side cimport Side
from surp_fl.entropy.minifloat cimport to_code, to_float

cdef int64_t _POSITIVE, _NEGATIVE, _BOTH
cdef double _SMALLEST_THRESHOLD, _INFINITY

cpdef int64_t pair_bits(int64_t steps, int64_t refreshes, int64_t picks, int64_t index_bits) except -1
@cython.locals(code=int64_t, threshold=double, has_above=bint, has_below=bint, least_above=double, least_below=double,
               least=double, most=double)
cdef (int64_t, int64_t) _estimate(Side above, Side below, int64_t n, double log_ratio, double mean)
@cython.locals(
    n=int64_t, above=Side, below=Side, record=Record, steps=int64_t, distinct=int64_t, code=int64_t, i=int64_t,
    j=int64_t, sides=int64_t, finite=bint, mean=double, threshold=double, refresh_due=bint, picks=int64_t,
    new_refreshes=int64_t,
)
cpdef refine(
    const float[::1] positive, const float[::1] negative, const int64_t[::1] ends, const double[::1] scales,
    double log_ratio, double shrink, double shrink_of_one, int64_t index_bits, int64_t budget_bits, int64_t max_steps,
    int64_t max_distinct, int64_t expected, rng,
)
@cython.locals(sums=double[::1], mean=double, refresh=int64_t, pick=int64_t, sides=int64_t, consistent=bint, step=int64_t)
cpdef rebuild(
    const int64_t[::1] indices, const int64_t[::1] refresh_at, const int64_t[::1] refresh_code,
    const int64_t[::1] refresh_sides, int64_t steps, double log_ratio, double shrink, double shrink_of_one,
    const int64_t[::1] order, int64_t distinct,
)
