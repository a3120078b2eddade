"""C types of layers.py."""

cimport cython
from libc.stdint cimport int64_t, uint8_t

from surp_fl.codecs.surp.coded_set cimport bisect
from surp_fl.codecs.surp.layer_weights cimport WeightTable


@cython.final
cdef class SideInformation:
    cdef readonly const int64_t[::1] start, rows, columns, first_row, first_column
    cdef readonly const int64_t[::1] row_log2_weight, column_log2_weight
    cdef readonly const int64_t[::1] row_order, column_order, row_rank, column_rank
    cdef readonly const int64_t[::1] recent, recent_keys
    cdef readonly const uint8_t[::1] recent_negative
    cdef bint _has_recent
    cdef const int64_t[::1] _by_start, _starts
    cdef list _row_tables, _column_tables

    cpdef int64_t layer_count(self) except -1
    cpdef bint is_recent(self, int64_t layer) except? -1
    @cython.locals(position=int64_t)
    cpdef int64_t recent_position(self, int64_t coordinate) except? -1
    cpdef int64_t layer_of(self, int64_t coordinate) except -1
    @cython.locals(layers=int64_t[::1], i=int64_t)
    cpdef layers_of(self, const int64_t[::1] coordinates)
    @cython.locals(cells_from=int64_t[::1], layer=int64_t)
    cpdef cells_from_each_layer(self)
    @cython.locals(offset=int64_t, columns=int64_t, row=int64_t, rank_of_row=int64_t)
    cpdef int64_t cell_of(self, int64_t coordinate, int64_t layer) except? -1
    @cython.locals(columns=int64_t, rank_of_row=int64_t, row=int64_t, column=int64_t)
    cpdef int64_t coordinate_of(self, int64_t cell, int64_t layer) except -1
    @cython.locals(cells_from=int64_t[::1], keys=int64_t[::1], i=int64_t, layer=int64_t)
    cpdef keys_of(self, const int64_t[::1] coordinates)
    cpdef WeightTable row_table(self, int64_t layer)
    cpdef WeightTable column_table(self, int64_t layer)
