"""Runs in an environment of its own that has NNCodec and knows nothing of this project; see `nncodec_peer.py`.

    python nncodec_worker.py MODEL.npz

Reads requests from standard input, a JSON object a line, and answers each with a line: {"encode": {settings}, "file":
path} writes a bitstream, {"decode": path, "file": path} reads one and writes arrays.
"""

import contextlib
import json
import sys
from pathlib import Path

import numpy as np


def main() -> int:
    """Answer until the input ends."""
    from nncodec import nnc  # type: ignore[import-not-found,unused-ignore]  # of the other environment

    with np.load(sys.argv[1], allow_pickle=False) as kept:
        arrays = {name: kept[name] for name in kept.files}
    for line in sys.stdin:
        request, target = json.loads(line), Path(json.loads(line)["file"])
        with contextlib.redirect_stdout(sys.stderr):  # it prints
            if "encode" in request:
                copies = {name: array.copy() for name, array in arrays.items()}
                stream = nnc.compress(copies, bitstream_path=None, return_bitstream=True, **request["encode"])
                target.write_bytes(bytes(stream))
            else:
                np.savez(target, **nnc.decompress(bytearray(Path(request["decode"]).read_bytes())))
        print("done", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
