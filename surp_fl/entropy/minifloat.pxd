"""C types of minifloat.py."""

cimport cython
from libc cimport math
from libc.stdint cimport int64_t

cdef int64_t _MAX_CODE, _EXPONENT_BIAS
cdef double _INFINITY

cpdef double to_float(int64_t code) except? -1
@cython.locals(fraction=double, exponent=int64_t, mantissa=int64_t)
cpdef int64_t to_code(double value, bint down) except? -1
