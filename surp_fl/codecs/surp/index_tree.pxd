"""C types of index_tree.py."""

cimport cython
from libc.stdint cimport int64_t, uint8_t

from surp_fl.codecs.surp.beta_binomial cimport BetaBinomial
from surp_fl.codecs.surp.cell_ranges cimport CNode, LayerCells, cell_count, narrowed
from surp_fl.codecs.surp.coded_set cimport bisect
from surp_fl.entropy.range_coder cimport RangeDecoder, RangeEncoder

cdef int64_t _WORK_OF_HALVING, _WORK_OF_POSITION, _WORK_OF_PICK


@cython.final
cdef class SignCounts:
    cdef int64_t _false, _true, _row

    cpdef void encode(self, RangeEncoder encoder, bint flag, int64_t row) except *
    @cython.locals(flag=bint)
    cpdef int decode(self, RangeDecoder decoder, int64_t row) except -1
    cdef int _begin(self, int64_t row) except -1


@cython.final
cdef class LayerEncoder:
    cdef RangeEncoder _encoder
    cdef LayerCells _cells
    cdef SignCounts _signs
    cdef BetaBinomial _splits
    cdef const int64_t[::1] _picks
    cdef const uint8_t[::1] _flags

    cpdef encode(self)
    @cython.locals(
        total_weight=int64_t, row=int64_t, position=int64_t, cum_freq=int64_t, left=CNode, right=CNode,
        left_weight=int64_t, right_weight=int64_t, concentration=int64_t, middle=int64_t, i=int64_t,
    )
    cdef int _encode(self, CNode node, int64_t start, int64_t end) except -1


@cython.final
cdef class LayerDecoder:
    cdef RangeDecoder _decoder
    cdef LayerCells _cells
    cdef SignCounts _signs
    cdef BetaBinomial _splits
    cdef int64_t[::1] _picks
    cdef uint8_t[::1] _flags
    cdef int64_t _done
    cdef readonly double flag_bits

    cpdef int64_t decode(self) except -1
    @cython.locals(
        total_weight=int64_t, position=int64_t, cum_freq=int64_t, left=CNode, right=CNode, left_weight=int64_t,
        right_weight=int64_t, concentration=int64_t, on_left=int64_t,
    )
    cdef int _decode(self, CNode node, int64_t k) except -1
    @cython.locals(flag=int, bits_before=double)
    cdef int _decode_flags(self, int64_t cell, int64_t k) except -1
