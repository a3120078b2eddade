"""A second reader of `surp` messages, written from FORMAT.md alone; slow, and a generator of any valid message.

The page's grammar is walked once, by functions that ask a *source* for symbols: `Reading` takes them from bytes,
`Choosing` chooses them and writes them. So a message comes with its meaning, and no encoder is asked: features that
no encoder uses are visited as well. Nothing here imports `surp_fl`, but `generate` and `agreement`, which compare.

    symbols.py      what a source is, alphabets, malformed and undetermined; reading.py, choosing.py: the two sources
    frame.py        body ↔ message
    layers.py       the layers of a model; side.py: their tables and the recent layer, and the digest
    split.py        how many of k picks are on the left; index_set.py: a set; groups.py, terms.py: what is made of it
    adaptive.py     flags and integers that adapt; sign_lags.py, levels.py, factors.py, trellis.py: trellis mode
    body.py         a whole body → the vector that it means
    taste.py        what `Choosing` prefers, in one message
    models.py       random layouts and models; cases.py: messages with their meaning, whole, cut and damaged
    specials.py     messages that are rare among random ones; stream.py: cases without end
    features.py     what messages may contain, by name
    agreement.py    whether `surp_fl` reads a case as it is meant; generate.py: the command line
"""
