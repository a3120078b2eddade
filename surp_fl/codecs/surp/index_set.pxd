"""C types of index_set.py."""

cimport cython
from libc.stdint cimport int64_t, uint8_t

from surp_fl.codecs.surp.beta_binomial cimport BetaBinomial
from surp_fl.codecs.surp.cell_ranges cimport LayerCells
from surp_fl.codecs.surp.coded_state cimport CodedState
from surp_fl.codecs.surp.index_tree cimport LayerDecoder, LayerEncoder, SignCounts
from surp_fl.codecs.surp.layer_weights cimport WeightTable, decode_exponent, encode_exponent
from surp_fl.codecs.surp.layers cimport SideInformation
from surp_fl.entropy.range_coder cimport RangeDecoder, RangeEncoder, WorkAccount

cdef int64_t _WORK_OF_SET, _WORK_OF_LAYER, _LAYERS_PER_WORK, _TABLE_ENTRIES_PER_WORK, _KEYS_PER_WORK
cdef int64_t _DEFAULT, _MIN_PICKS, _MAX_INSERTIONS

@cython.locals(
    remaining=int64_t, splits=BetaBinomial, keys=int64_t[::1], picks=int64_t[::1], free=int64_t[::1],
    weights=int64_t[::1], concentration=int64_t, layer=int64_t, k=int64_t, columns=int64_t, cells=int64_t[::1],
    layer_of=int64_t[::1], i=int64_t,
)
cpdef encode_set(
    RangeEncoder encoder, const int64_t[::1] coordinates, const uint8_t[::1] negative, SideInformation side,
    CodedState state, bint disjoint,
)
@cython.locals(
    count=int64_t, sign_bits=double, splits=BetaBinomial, keys=int64_t[::1], picks=int64_t[::1], free=int64_t[::1],
    weights=int64_t[::1], concentration=int64_t, done=int64_t, layer=int64_t, k=int64_t, row_exponent=int64_t,
    column_exponent=int64_t, layer_decoder=LayerDecoder, read=int64_t, i=int64_t,
)
cpdef (int64_t, double) decode_set(
    RangeDecoder decoder, int64_t[::1] coordinates, uint8_t[::1] negative, SideInformation side, CodedState state,
    bint disjoint,
)
cdef int _spend_on_set(WorkAccount account, CodedState state) except -1
@cython.locals(table_entries=int64_t)
cdef int _spend_on_layer(WorkAccount account, int64_t layer, SideInformation side) except -1
cdef bint _sends_exponents(int64_t layer, int64_t k, SideInformation side, CodedState state) except -1
@cython.locals(known=bint)
cdef LayerCells _layer_cells(int64_t layer, SideInformation side, CodedState state, bint disjoint)
cdef SignCounts _sign_counts(int64_t layer, SideInformation side)
@cython.locals(order=int64_t[::1], place=int64_t[::1], i=int64_t)
cdef _by_layer(const int64_t[::1] layer_of, picks)
@cython.locals(
    cells=int64_t[::1], flags=uint8_t[::1], few=bint, i=int64_t, cell=int64_t, flag=uint8_t, at=int64_t,
)
cdef tuple _cells_and_flags(
    const int64_t[::1] coordinates, const uint8_t[::1] negative, const int64_t[::1] members, int64_t layer,
    SideInformation side,
)
