"""C types of bit_fields.py."""

cimport cython
from libc.stdint cimport int64_t, uint8_t

@cython.locals(value=int64_t, missing=int64_t, here=int64_t)
cpdef void read_integers(const uint8_t[::1] data, int64_t at, int64_t width, int64_t[::1] values) except *
@cython.locals(end=int64_t, index=int64_t, zero=int64_t, remainder=int64_t, bit=int64_t)
cpdef int64_t read_rice_codes(const uint8_t[::1] data, int64_t at, int64_t n, int64_t parameter, int64_t[::1] indices) except? -1
