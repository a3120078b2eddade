"""C types of range_coder.py."""

cimport cython
from libc cimport math
from libc.stdint cimport int64_t, uint8_t, uint64_t

cdef uint64_t _FULL, _MIN_RANGE, _CARRIES, _ONE, _BYTE
cdef int64_t _BITS, _TOP_BYTE, _INITIAL_CREDIT, _COORDINATES_PER_CREDIT, _CREDIT_PER_BYTE, _UNLIMITED


cdef class WorkAccount:
    cdef int64_t _credit
    cdef readonly bint overdrawn

    cpdef int grant(self, int64_t n) except -1
    cpdef int spend(self, int64_t work) except -1


@cython.final
cdef class RangeEncoder(WorkAccount):
    cdef uint64_t _low, _range, _cache
    cdef int64_t _pending, _position
    cdef bint _has_cache
    cdef bytearray _buffer
    cdef uint8_t[::1] _out

    cpdef RangeEncoder copy(self)
    @cython.locals(unit=uint64_t)
    cpdef int encode(self, uint64_t cum_freq, uint64_t freq, uint64_t total_freq) except -1
    cpdef int64_t capacity(self) except -1
    cpdef int64_t bytes_written(self) except -1
    cpdef int64_t length(self) except -1
    @cython.locals(length=int64_t, below=uint64_t)
    cpdef bytes finish(self)
    @cython.locals(kept=int64_t, below=uint64_t, value=uint64_t, last=uint64_t)
    cdef int64_t _last_bytes(self) except -1
    @cython.locals(carry=uint64_t)
    cdef int _shift(self) except -1
    cdef int _emit(self, uint64_t byte) except -1


@cython.final
cdef class RangeDecoder(WorkAccount):
    cdef uint64_t _range, _code, _unknown
    cdef int64_t _position
    cdef bint _undetermined
    cdef const uint8_t[::1] _data

    cpdef bint exhausted(self) except? -1
    cpdef bint is_whole(self) except? -1
    @cython.locals(target=uint64_t)
    cpdef int64_t decode_target(self, uint64_t total_freq) except -1
    @cython.locals(unit=uint64_t)
    cpdef int decode_update(self, uint64_t cum_freq, uint64_t freq, uint64_t total_freq) except -1
    @cython.locals(start=uint64_t, flag=int64_t)
    cpdef int64_t decode_flag(self, uint64_t zeros, uint64_t total_freq) except -1
    @cython.locals(size=int64_t, missing=int64_t, last=uint64_t, unknown=uint64_t)
    cpdef bint fully_consumed(self) except? -1
    cpdef double bits_read(self) except? -1
    cdef int _narrow(self, uint64_t start, uint64_t end) except -1
    cdef int _read(self) except -1
