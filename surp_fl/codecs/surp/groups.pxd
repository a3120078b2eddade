"""C types of groups.py."""

cimport cython
from libc.stdint cimport int16_t, int64_t, uint8_t

from surp_fl.codecs.surp.coded_state cimport CodedState
from surp_fl.codecs.surp.index_set cimport decode_set, encode_set
from surp_fl.codecs.surp.layers cimport SideInformation
from surp_fl.codecs.surp.rank_one cimport TermReader
from surp_fl.entropy.integers cimport decode_bits, decode_uint, encode_bits, encode_uint
from surp_fl.entropy.minifloat cimport to_float
from surp_fl.entropy.range_coder cimport RangeDecoder, RangeEncoder

cdef int64_t _MIN_GATHERED, _COORDINATES_PER_GATHERED, _CODE_BITS, _DROPPED_BITS, _MAX_INDICES, _MAX_GROUPS
cdef int64_t _DISJOINT, _MALFORMED, _OVERDRAWN, _MAX_TERMS, _WITH_TERMS
cdef double _MAX_VALUE

@cython.locals(rise=int64_t)
cpdef write_group(
    RangeEncoder encoder, int64_t previous_code, int64_t code, const int64_t[::1] coordinates,
    const uint8_t[::1] negative, SideInformation side, CodedState state, bint disjoint,
)
@cython.locals(values=double[::1], i=int64_t)
cpdef values_of_codes(const int16_t[::1] codes)
@cython.locals(magnitude=int64_t, value=double)
cdef double _value(int64_t code) except? -1


@cython.final
cdef class GroupReader:
    cdef RangeDecoder _decoder
    cdef SideInformation _side
    cdef CodedState _state
    cdef int64_t _n, _size
    cdef int64_t[::1] _coordinates
    cdef int16_t[::1] _codes
    cdef readonly double[::1] sums
    cdef readonly bint is_dense
    cdef readonly double index_bits, sign_bits, magnitude_bits

    @cython.locals(fault=int64_t)
    cpdef int64_t read_context_and_groups(self) except -1
    @cython.locals(decoder=RangeDecoder, code=int64_t, groups=int64_t, fault=int64_t, k=int64_t, disjoint=bint)
    cpdef int64_t read_groups(self) except -1
    @cython.locals(decoder=RangeDecoder, terms=int64_t, reader=TermReader, bits_before=double)
    cpdef int64_t read_terms(self) except -1
    @cython.locals(bits_before=double, code=int64_t, change=int64_t)
    cdef int64_t _read_code(self, int64_t previous) except? -1
    @cython.locals(disjoint=bint)
    cdef bint _read_disjoint(self) except -1
    @cython.locals(bits_before=double, end=int64_t, flags=uint8_t[::1], read=int64_t, sign_bits=double, i=int64_t)
    cdef _read_set(self, int64_t k, int64_t code, bint disjoint)
    cdef _reserve(self, int64_t size)
    @cython.locals(i=int64_t)
    cdef int _add_to_sums(self) except -1
