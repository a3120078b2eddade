"""C types of coded_set.py."""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint64_t

cdef int64_t _MIN_MAX_KEYS, _CELLS_PER_KEY
cdef uint64_t _ONE, _ALL_ONES, _EVERY_BYTE, _BITS_1, _BITS_2, _BITS_4

cpdef int64_t max_keys(int64_t cells) except -1
@cython.locals(middle=int64_t)
cpdef int64_t bisect(const int64_t[::1] keys, int64_t low, int64_t high, int64_t key) except -1
cdef int64_t _popcount(uint64_t word) except -1
@cython.locals(merged=int64_t[::1], size=int64_t, i=int64_t, j=int64_t, key=int64_t)
cdef _merged(const int64_t[::1] coded, const int64_t[::1] new)


@cython.final
cdef class CodedCells:
    cdef int64_t _cells
    cdef bint _is_bitmap
    cdef const int64_t[::1] _keys
    cdef uint64_t[::1] _bits
    cdef int32_t[::1] _counts

    cpdef CodedCells copy(self)
    cpdef int64_t max_rank(self) except -1
    @cython.locals(word=int64_t, bit=int64_t, bits=uint64_t, found=int64_t)
    cpdef int64_t rank(self, int64_t low, int64_t high, int64_t key) except -1
    cpdef add(self, new)
    @cython.locals(i=int64_t, word=int64_t, place=int64_t, bit=uint64_t, bits=uint64_t)
    cdef int _set_bits(self, const int64_t[::1] keys) except -1
