"""The trellis mode of SuRP, a level for every coordinate: for a twentieth of a bit a coordinate and more.

Which file does what:

level_fit.py          a vector → bytes, within the budget; the step from step_search.py, bytes by body.py
low_rank.py           which layers have low-rank factors beside levels, and of which rank; factor_levels.py tells them
quantisation.py       a layer → levels, on the path of least error that search.py finds
reader.py             bytes → a vector; the format, with factors.py and level_reader.py; factor_loops.py multiplies
transitions.py        the trellis of both ends
level_coder.py        a layer ↔ the range coder: levels by level_models.py, in the contexts of magnitude_context.py,
                      and signs by sign_odds.py
sign_lags.py          how many columns back signs of a layer tell something; lag_search.py finds it
"""
