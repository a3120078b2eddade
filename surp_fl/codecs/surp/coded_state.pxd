"""C types of coded_state.py."""

cimport cython
from libc cimport math
from libc.stdint cimport int64_t

from surp_fl.codecs.surp.coded_set cimport CodedCells, bisect, max_keys
from surp_fl.codecs.surp.layers cimport SideInformation

cdef int64_t _CONCENTRATION_LAYERS, _PICKS_PER_CONCENTRATION, _MAX_EXTRA_CONCENTRATION, _PRIOR_PICKS

@cython.locals(total=int64_t, i=int64_t)
cpdef int64_t sum_of(const int64_t[::1] counts) except -1
@cython.locals(prior=int64_t[::1], layer=int64_t)
cdef _prior(const int64_t[::1] cells_from)
@cython.locals(own_cells=int64_t[::1], layer=int64_t, low=int64_t, high=int64_t, first=int64_t)
cdef _own_cells(const int64_t[::1] cells_from, const int64_t[::1] recent_keys)


@cython.final
cdef class CodedState:
    cdef public int64_t[::1] seen, row_exponents, column_exponents
    cdef readonly CodedCells coded
    cdef readonly const int64_t[::1] cells_from
    cdef int64_t[::1] _coded_in_layer
    cdef const int64_t[::1] _own_cells, _prior

    @cython.locals(other=CodedState)
    cpdef CodedState copy(self)
    @cython.locals(free=int64_t[::1], layer=int64_t)
    cpdef free_cells_from(self, bint disjoint)
    @cython.locals(cells=int64_t, layer=int64_t)
    cpdef int64_t capacity(self, bint disjoint) except -1
    cpdef int64_t keys_kept(self) except -1
    @cython.locals(layer=int64_t, low=int64_t, most=int64_t)
    cpdef add(self, const int64_t[::1] keys, const int64_t[::1] picks)
    cpdef int64_t concentration(self) except -1
    @cython.locals(total_weight=int64_t, weights=int64_t[::1], layer=int64_t)
    cpdef layer_weights_from(self)
