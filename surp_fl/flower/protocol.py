"""Every key that goes over the wire or into a client's state: both ends import them from here.

**A compressed reply** is one ConfigRecord, `NAME`: every further record, and every array, would be an object of its own
on Flower's wire, with its own request.

    NAME                 bytes   the message
    STATISTICS           bytes   how running statistics changed, where they did: see change.py
    INTEGER_ARRAYS       bytes   how integer and boolean arrays changed, where they did: see integer_arrays.py
    UNTIED               bool    true where arrays that were equal are so no more: the message holds each by itself
    STATS                bytes   encode seconds, relative error, norm of the residual; float32, little-endian
    ARRAYS_NAME          str     name of the app's ArrayRecord, where it is not the server's
    METRICS_NAME         str     name of the app's MetricRecord, where it is not "metrics"
    anything else                the app's metrics

A client that holds no version that deltas could be added to answers `MISSING` (bool) alone.

**A train message** carries, in one of its ConfigRecords:

    SESSION              int     which server object keeps track of what clients hold
    ROUND                int     counted by that object, from 1, whatever the strategy's own numbers are
    ROUNDS               list    of which earlier rounds it holds the model that this client was sent
    APPLIED              int     the round of the client's last message that was handed to the strategy; 0 for none
    BUDGET               int     bytes that a message may have
    KINDS                str     JSON, name to kind: the user's word on which arrays are running statistics

**A model on its way down** that is not an ordinary ArrayRecord comes in one of two ways. *Whole*: the ArrayRecord
`PACKED`, one array of bytes, all arrays of the model end to end. *Deltas*: messages of a codec, each with the digest of
the version that it is to be added to; a client that holds any of these versions applies the rest. Beside it:

    VERSION              bytes   digest of the model that the client ends up with
    ARRAYS_NAME          str     name of the ArrayRecord that the app expects
    KEEP                 bool    whether deltas to this version may follow
    MANIFEST             bytes   JSON, [name, shape, dtype] of each array; with a whole model
    BASES                list    digests; with deltas
    DELTAS               list    messages; with deltas
    SECTIONS             list    of each delta: the sections of statistics and of integer arrays, each after its length
                                 in four bytes; with deltas, where one has any

**A client's state**, in `Context.state`:

    NAME                 arrays  the memory: the residual, a velocity, whatever a scheme's memory keeps
    SENT                 arrays  the last message, decoded, until the server says that it was applied
    MODEL                arrays  the model that the client was sent in the round of that message, unless it is HELD
    HELD                 arrays  the version of the server's model that deltas are added to
    SESSION              config  SESSION and the round in it, the fingerprint of the model's layout, and the digest of
                                 the version that was held then, where that was the model

Knows names alone.
"""

NAME = "surp-fl"

STATISTICS = f"{NAME}:statistics"
INTEGER_ARRAYS = f"{NAME}:exact"
UNTIED = f"{NAME}:untied"
STATS = f"{NAME}:stats"
ARRAYS_NAME = f"{NAME}:arrays"
METRICS_NAME = f"{NAME}:metrics"
MISSING = f"{NAME}:missing"

SESSION = f"{NAME}:session"
ROUND = f"{NAME}:round"
ROUNDS = f"{NAME}:rounds"
APPLIED = f"{NAME}:applied"
BUDGET = f"{NAME}:budget"
KINDS = f"{NAME}:kinds"

PACKED = f"{NAME}:packed"
VERSION = f"{NAME}:version"
KEEP = f"{NAME}:keep"
MANIFEST = f"{NAME}:form"
BASES = f"{NAME}:bases"
DELTAS = f"{NAME}:deltas"
SECTIONS = f"{NAME}:others"
DOWN = (VERSION, ARRAYS_NAME, MANIFEST, BASES, DELTAS, SECTIONS, KEEP, KINDS)  # that the app is not shown

SENT = f"{NAME}:sent"
MODEL = f"{NAME}:model"
HELD = f"{NAME}:held"
STATE_ROUND = "round"
STATE_HELD = "held"
STATE_FINGERPRINT = "fingerprint"

NODE_BUDGET = "surp-fl-budget"  # bytes; in a node's config
