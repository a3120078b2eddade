"""C types of _loops.py."""

cimport cython
from libc cimport math
from libc.stdint cimport int64_t

from surp_fl.codecs.surp_laplacian._estimates cimport estimate, mean_code, shrink_of
from surp_fl.codecs.surp_paper._loops cimport refinement_bits
from surp_fl.codecs.surp_paper._record cimport Record
from surp_fl.codecs.surp_paper._side cimport Side
from surp_fl.entropy.minifloat cimport to_float

cdef int64_t _POSITIVE, _NEGATIVE, _BOTH
cdef double _SMALLEST_THRESHOLD, _INFINITY

cpdef int64_t pair_bits(int64_t steps, int64_t refreshes, int64_t picks, int64_t index_bits) except -1
@cython.locals(
    n=int64_t, above=Side, below=Side, record=Record, steps=int64_t, distinct=int64_t, first=int64_t, code=int64_t,
    i=int64_t, j=int64_t, sides=int64_t, finite=bint, average=double, mean=double, threshold=double, shrink=double,
    refresh_due=bint, picks=int64_t, is_twofold=bint, new_refreshes=int64_t,
)
cpdef refine(
    const float[::1] positive, const float[::1] negative, const int64_t[::1] ends, const double[::1] scales,
    double log_ratio, int64_t index_bits, int64_t budget_bits, int64_t max_steps, int64_t max_distinct,
    int64_t expected, rng,
)
@cython.locals(sums=double[::1], average=double, mean=double, shrink=double, refresh=int64_t, pick=int64_t,
               sides=int64_t, step=int64_t)
cpdef rebuild(
    const int64_t[::1] indices, const int64_t[::1] refresh_at, const int64_t[::1] refresh_code,
    const int64_t[::1] refresh_sides, int64_t steps, int64_t n, double log_ratio, const int64_t[::1] order,
    int64_t distinct,
)
