"""C types of cell_ranges.py; `CNode` is a `Node`."""

cimport cython
from libc.stdint cimport int64_t

from surp_fl.codecs.surp.beta_binomial cimport halved, halvings_to_fit
from surp_fl.codecs.surp.coded_set cimport CodedCells, bisect

ctypedef (int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t) CNode

cdef int64_t _CONCENTRATION_ROWS, _CONCENTRATION_COLUMNS, _EVIDENCE_PER_PICK, _RECENT_EVIDENCE, _CODED_EVIDENCE
cdef int64_t _MAX_WEIGHT, _MAX_SCALED_WEIGHT

cpdef int64_t cell_count(CNode node) except -1
cpdef CNode narrowed(CNode node, int64_t position)
cpdef int64_t weight_of(const int64_t[::1] sums, int64_t low, int64_t high) except -1
cdef int64_t _position(const int64_t[::1] sums, int64_t low, int64_t high, int64_t target) except -1
cdef int64_t _scale_weight(int64_t weight, int64_t free, int64_t size) except -1


@cython.final
cdef class LayerCells:
    cdef readonly int64_t rows, columns
    cdef int64_t _first
    cdef const int64_t[::1] _row_sums, _column_sums, _recent
    cdef CodedCells _coded
    cdef bint _disjoint

    @cython.locals(end=int64_t, recent=int64_t, recent_end=int64_t, most=int64_t, coded=int64_t)
    cpdef CNode root(self)
    cpdef int64_t first_cell(self, CNode node) except -1
    @cython.locals(excluded=int64_t)
    cpdef int64_t free_cells(self, CNode node) except? -1
    @cython.locals(weight=int64_t)
    cpdef int64_t axis_weight(self, CNode node) except -1
    cpdef int64_t weight_at(self, CNode node, int64_t start, int64_t end) except -1
    cpdef int64_t position_of(self, CNode node, int64_t target) except -1
    @cython.locals(
        first=int64_t, last=int64_t, low=int64_t, high=int64_t, recent=int64_t, recent_end=int64_t, coded=int64_t,
        coded_end=int64_t, middle=int64_t, by_row=bint, left=int64_t, right=int64_t, key=int64_t, concentration=int64_t,
        recent_middle=int64_t, coded_middle=int64_t, left_node=CNode, right_node=CNode, evidence_left=int64_t,
        evidence_right=int64_t, halvings=int64_t, total_weight=int64_t,
    )
    cpdef (CNode, CNode, int64_t, int64_t, int64_t) halve(self, CNode node)
