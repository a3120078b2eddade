"""C types of rank_one.py."""

cimport cython
from libc.stdint cimport int8_t, int64_t

from surp_fl.codecs.surp.layers cimport SideInformation
from surp_fl.entropy.integers cimport decode_bits, decode_uint, encode_bits, encode_uint
from surp_fl.entropy.range_coder cimport RangeDecoder, RangeEncoder

cdef int64_t _ZEROS, _OTHERS, _STEP, _MAX_COUNT, _WORK_OF_TERM, _SIGNS_PER_WORK, _CELLS_PER_WORK
cdef int64_t _CELLS_PER_PRODUCT, _CODE_BITS, _MIN_SIDE


@cython.final
cdef class Density:
    cdef int64_t _zeros, _others

    @cython.locals(total=int64_t)
    cpdef void encode(self, RangeEncoder encoder, int64_t sign) except *
    @cython.locals(total=int64_t, zero=bint)
    cpdef int64_t decode(self, RangeDecoder decoder) except? -2
    cdef int _update(self, bint zero) except -1


@cython.locals(layers=int64_t[::1], count=int64_t, layer=int64_t)
cpdef layers_with_terms(SideInformation side)
@cython.locals(layer=int64_t, rise=int64_t, rows=Density, columns=Density, i=int64_t)
cpdef void write_term(
    RangeEncoder encoder, SideInformation side, const int64_t[::1] layers, int64_t place, int64_t previous_code,
    int64_t code, const int8_t[::1] row_signs, const int8_t[::1] column_signs,
) except *
@cython.locals(first=int64_t)
cdef int64_t _row(SideInformation side, int64_t layer, int64_t rank) except -1
@cython.locals(first=int64_t)
cdef int64_t _column(SideInformation side, int64_t layer, int64_t rank) except -1
@cython.locals(count=int64_t, i=int64_t)
cdef int64_t _count_signs(const int8_t[::1] signs) except -1
cdef int64_t _work_of_sum(int64_t rows, int64_t chosen, int64_t columns) except -1


@cython.final
cdef class TermReader:
    cdef SideInformation _side
    cdef const int64_t[::1] _layers
    cdef readonly int64_t layer, code
    cdef readonly int8_t[::1] row_signs, column_signs
    cdef readonly double sign_bits, magnitude_bits

    @cython.locals(
        previous=int64_t, place=int64_t, layer=int64_t, code=int64_t, change=int64_t, rise=int64_t, rows=int64_t,
        columns=int64_t, row_signs=int8_t[::1], column_signs=int8_t[::1], of_rows=Density, of_columns=Density, i=int64_t,
        bits_before=double, chosen_rows=int64_t, chosen_columns=int64_t,
    )
    cpdef void read(self, RangeDecoder decoder) except *
    @cython.locals(
        columns=int64_t, row_signs=int8_t[::1], column_signs=int8_t[::1], i=int64_t, j=int64_t, at=int64_t, signed=double,
        chosen=int64_t[::1], scattered=bint,
    )
    cpdef void add_to(self, double[::1] sums, double value) except *
