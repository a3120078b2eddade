"""Every key that goes over the wire or into a client's state: server and client import them from here.

**A compressed reply** is one ConfigRecord, `NAME`: every further record, and every array, would be an object of its own
on Flower's wire, with its own request.

    NAME                 bytes   the message
    STATISTICS           bytes   changes of running statistics, if there are any: see change.py
    INTEGER_ARRAYS       bytes   changes of integer and boolean arrays, if there are any: see integer_arrays.py
    UNTIED               bool    true if tied arrays are no longer equal: the message encodes each of them separately
    STATS                bytes   encode seconds, relative error, norms of residual and update, coordinates that hold a
                                 tenth of what the client wants to send; float32, little-endian
    ARRAYS_NAME          str     name of the app's ArrayRecord, if it is not the server's
    METRICS_NAME         str     name of the app's MetricRecord, if it is not "metrics"
    EVALUATED + name     any     metrics of the evaluation that the train message asks for, by their names
    EVALUATED_NAME       str     name of the MetricRecord that an evaluate reply would have them in
    EXAMPLES             int     of a legacy app (NumPyClient) alone: its number of examples
    anything else                the app's metrics: numbers; of a legacy app, also text, bytes and booleans

A client that holds no base of the deltas that it was sent replies with `MISSING` (bool) alone.

**A train message** carries, in one of its ConfigRecords:

    SESSION              int     random id of the session: the rounds that continue one model
    ROUND                int     round within the session, from 1, whatever number the strategy gives it
    ROUNDS               list    earlier rounds of which the server retains the model that this client was sent
    APPLIED              int     round of the client's last message that was applied to the model; 0 for none
    BUDGET               int     bytes that a message may have
    KINDS                str     JSON, name to kind: which arrays are running statistics, if the user says so
    EVALUATE             list    if the client is to evaluate the model before it trains: the type of the evaluate
                                 message in place of which this is, and the name of that one's ConfigRecord
    EVALUATION_CONFIG + key      the entries of that record

**The downlink** carries a model as an ordinary ArrayRecord, or in one of three forms. *Full*: the ArrayRecord `PACKED`,
one array of bytes, all arrays of the model end to end. *Deltas*: codec messages, each with the digest of the version
that it is added to, its base; a client that holds any of these bases applies the deltas from there on. *Merged*: all
changes since one base in one message. A full model may also be the base of deltas, or of a merged change, in the same
message. Beside it:

    VERSION              bytes   digest of the model that the client ends up with
    ARRAYS_NAME          str     name of the ArrayRecord that the app expects
    KEEP                 bool    whether deltas to this version may follow
    MANIFEST             bytes   JSON, [name, shape, dtype] of each array; with a full model
    COMPRESSED           bool    true if the one array is compressed, see lossless/; with a full model
    FILE                 bool    true if the one array is a model file, see model_file/: with an approximate full model
    INITIAL              str     name of the initial model, which clients may make by themselves, if the base of the
                                 first change, or the version itself, is that model
    ORIGIN               bool    true if deltas will be coded against what has changed since the full or the
                                 initial model
    BASES                list    digest of the base of each delta; with deltas; of the one base, with a merged change
    DELTAS               list    messages; with deltas
    SECTIONS             list    of each delta: the sections of statistics and of integer arrays, each after its length
                                 in four bytes; with deltas, if one of them has such a section
    UNTIED               list    of each delta: whether it encodes arrays separately that are equal in its base; with
                                 deltas, if one of them does
    MERGED               bytes   a merged change: see merged_change.py

**A client's state**, in `Context.state`:

    NAME                 arrays  what the scheme's memory keeps: residual, velocity; a number or two
    SENT                 arrays  the last message, decoded: added back to the residual if it was not applied
    MODEL                arrays  the model that the client was sent in the round of that message, unless it is HELD
    HELD                 arrays  the local version of the server's public model, to which deltas are added
    ORIGIN               arrays  what the local version changed of the origin of the deltas: how many values; of each
                                 array that differs, the places (absent if they are all) and the values that were there
    SESSION              config  SESSION and the round in it; the round of the first message, and how many there were;
                                 the fingerprint of the model's layout; the names of tied arrays and of those that they
                                 equal, if there are any; the digest of the local version, if it was the model of that
                                 round

Knows names alone.
"""

NAME = "surp-fl"

MAX_DELTAS = 128  # in a message to a client, which applies them one after the other, each in one pass over its model

STATISTICS = f"{NAME}:statistics"
INTEGER_ARRAYS = f"{NAME}:exact"
UNTIED = f"{NAME}:untied"
STATS = f"{NAME}:stats"
ARRAYS_NAME = f"{NAME}:arrays"
METRICS_NAME = f"{NAME}:metrics"
EXAMPLES = f"{NAME}:examples"
MISSING = f"{NAME}:missing"

SESSION = f"{NAME}:session"
ROUND = f"{NAME}:round"
ROUNDS = f"{NAME}:rounds"
APPLIED = f"{NAME}:applied"
BUDGET = f"{NAME}:budget"
KINDS = f"{NAME}:kinds"
EVALUATE = f"{NAME}:evaluate"
EVALUATION_CONFIG = f"{EVALUATE}:"
EVALUATED_NAME = f"{NAME}:evaluated"
EVALUATED = f"{EVALUATED_NAME}:"

PACKED = f"{NAME}:packed"
VERSION = f"{NAME}:version"
KEEP = f"{NAME}:keep"
MANIFEST = f"{NAME}:form"
COMPRESSED = f"{NAME}:compressed"
FILE = f"{NAME}:file"
INITIAL = f"{NAME}:initial"
ORIGIN = f"{NAME}:origin"
BASES = f"{NAME}:bases"
DELTAS = f"{NAME}:deltas"
SECTIONS = f"{NAME}:others"
MERGED = f"{NAME}:merged"
DOWN = (  # hidden from the app
    *(VERSION, ARRAYS_NAME, KEEP, KINDS, INITIAL, ORIGIN),
    *(MANIFEST, COMPRESSED, FILE, BASES, DELTAS, SECTIONS, UNTIED, MERGED),
)

SENT = f"{NAME}:sent"
MODEL = f"{NAME}:model"
HELD = f"{NAME}:held"
STATE_ROUND = "round"
STATE_FIRST = "first"
STATE_MESSAGES = "messages"
STATE_HELD = "held"
STATE_FINGERPRINT = "fingerprint"
STATE_COPIES = "copies"

NODE_BUDGET = "surp-fl-budget"  # bytes; in a node's config
