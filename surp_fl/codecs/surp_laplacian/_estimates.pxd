"""C types of _estimates.py."""

cimport cython
from libc.stdint cimport int64_t

from surp_fl.codecs.surp_paper._loops cimport reaching_code
from surp_fl.codecs.surp_paper._side cimport Side
from surp_fl.entropy.minifloat cimport to_code, to_float

cdef int64_t _POSITIVE, _NEGATIVE, _BOTH, _MAX_CODE
cdef double _INFINITY

cpdef double shrink_of(int64_t n, double log_ratio, int64_t sides, double ratio) except? -1
@cython.locals(code=int64_t)
cpdef int64_t mean_code(double total, int64_t n) except -1
@cython.locals(code=int64_t, threshold=double, has_above=bint, has_below=bint, least_above=double, least_below=double,
               side=Side, other=Side, least=double, most=double)
cpdef (int64_t, int64_t) estimate(Side above, Side below, int64_t n, double log_ratio, double mean)
