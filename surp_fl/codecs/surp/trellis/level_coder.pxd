"""C types of level_coder.py."""

cimport cython
from libc.stdint cimport int32_t, int64_t

from surp_fl.codecs.surp.trellis.level_models cimport LevelModels
from surp_fl.codecs.surp.trellis.magnitude_context cimport MagnitudeContext
from surp_fl.codecs.surp.trellis.sign_odds cimport SignOdds
from surp_fl.entropy.range_coder cimport RangeDecoder, RangeEncoder

cdef int64_t _WORK_OF_CELL, _WORK_WITH_LAGS, _WORK_OF_LEVEL, _RUN


@cython.locals(contexts=MagnitudeContext, signs=SignOdds, rows=int64_t, work=int64_t, row=int64_t, start=int64_t, column=int64_t, paid=int64_t, i=int64_t, other=bint, level=int64_t, told=int64_t)
cpdef void encode_layer(
    RangeEncoder encoder, LevelModels models, const int32_t[::1] levels, const float[::1] values, int64_t columns,
    int64_t mean_code, const int64_t[::1] lags, const int64_t[::1] weights,
) except *
@cython.locals(
    contexts=MagnitudeContext, signs=SignOdds, rows=int64_t, work=int64_t, row=int64_t, start=int64_t, column=int64_t, paid=int64_t, other=int64_t, quantiser=int64_t,
    level=int64_t, told=int64_t, bits_before=double, negative=int64_t, magnitude=double,
)
cpdef int64_t decode_layer(
    RangeDecoder decoder, LevelModels models, float[::1] values, int64_t columns, int64_t mean_code,
    const int64_t[::1] lags, const int64_t[::1] weights, const double[::1] magnitudes, double unit, double most, bint measured,
) except -1
