"""C types of magnitude_context.py."""

cimport cython
from libc.stdint cimport int16_t, int32_t, int64_t

cdef int64_t _CONTEXTS, _UNIT, _TABLE, _SHIFT, _SHIFT_LOG, _LOG_13, _FIRST_LOG, _PRIOR_SUM, _MOST_SUM, _PER_AGREEMENT


@cython.final
cdef class MagnitudeContext:
    cdef const int64_t[::1] _logs
    cdef int64_t _mean, _log_mean, _log_prior, _prior_sum, _prior, _rows, _log_rows, _row_sum, _row_log, _near, _log_near
    cdef int64_t _last
    cdef int64_t[::1] _column_sums
    cdef int32_t[::1] _column_logs

    cdef int begin_row(self) except -1
    @cython.locals(row=int64_t, expected=int64_t)
    cdef int64_t context(self, int64_t column, int64_t told) except -1
    @cython.locals(log=int64_t, near=int64_t)
    cdef int add(self, int64_t column, int64_t level) except -1
    cdef int _set_near(self, int64_t near) except -1
    @cython.locals(found=int64_t, log=int64_t)
    cpdef int64_t log2(self, int64_t number) except -1


@cython.locals(found=MagnitudeContext, row=int64_t, i=int64_t, column=int64_t)
cpdef void contexts_of(const int32_t[::1] levels, int64_t columns, int64_t mean_code, int16_t[::1] contexts) except *
