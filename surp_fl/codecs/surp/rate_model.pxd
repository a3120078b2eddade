"""C types of rate_model.py."""

cimport cython
from libc cimport math
from libc.stdint cimport int64_t, uint8_t

from surp_fl.codecs.surp.layer_weights cimport WeightTable
from surp_fl.codecs.surp.layers cimport SideInformation

cdef double _MIN_RATE_BITS, _SAME_SIGN_BITS, _TURNED_SIGN_BITS, _OCTAVES_PER_STEP


@cython.final
cdef class RateModel:
    cdef SideInformation _side
    cdef object _layers
    cdef int64_t[::1] _layer, _row, _column
    cdef double[::1] _sign_bits

    @cython.locals(i=int64_t, layer=int64_t, cell=int64_t, same=bint)
    cdef int _place(self, const int64_t[::1] candidates, const uint8_t[::1] negative) except -1
    @cython.locals(members=int64_t[::1], chosen_members=int64_t[::1], start=int64_t, end=int64_t, layer=int64_t,
                   chosen_start=int64_t, chosen_end=int64_t)
    cpdef rate_bits_given(self, chosen)
    cdef int64_t _end_of_layer(self, const int64_t[::1] members, int64_t start, int64_t layer) except -1
    @cython.locals(side=SideInformation, rows=int64_t, columns=int64_t, index_bits=double, bits=double, i=int64_t,
                   row_table=WeightTable, column_table=WeightTable,
                   by_row=int64_t, by_column=int64_t, member=int64_t, log2_weight=int64_t)
    cdef _rate_layer(self, double[::1] rate_bits, const int64_t[::1] members, chosen, int64_t layer)
