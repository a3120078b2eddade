"""Shakespeare's plays, character by character: who says what, divided by speaking roles.

Source: McMahan et al. 2017, "Communication-Efficient Learning of Deep Networks from Decentralized Data": a client for
each speaking role, which trains on the first 80 % of its lines and is tested on the last 20 %; also Caldas et al. 2018,
"LEAF". Of the plays that are kept for it, the 100 longest roles are clients; the other plays are for pre-training.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from simulations.app.datasets import DATA_ROOT_VARIABLE, DataMissing, Dataset

CHARACTERS = "\n" + "".join(map(chr, range(32, 127)))
LENGTH = 64  # characters of an example
ROLES = 100
TEST_SHARE = 0.2
_MAX_TESTED = 1024  # examples, spread evenly over all roles' ends
_FOLDER = "shakespeare"
_HISTORIES = ("henry", "richard", "john")  # whose plays are for pre-training
_CODE = np.full(256, CHARACTERS.index(" "), np.uint8)
_CODE[[ord(character) for character in CHARACTERS]] = np.arange(len(CHARACTERS))
_SPEAKER = re.compile(r"([A-Z][A-Za-z' ,&-]{0,30})\.$")
_HEADING = re.compile(r"(ACT|SCENE|Act|Scene)\b")
_DIRECTION = re.compile(r"\[[^\]]*\]")


@dataclass(frozen=True)
class Passages:
    """Pieces of text, each of one role.

    Attributes:
        characters: places in `CHARACTERS`; uint8, shape (count, LENGTH + 1).
        groups: the role of each; int64, shape (count,).
    """

    characters: NDArray[np.uint8]
    groups: NDArray[np.int64]

    def batch(self, chosen: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        """Characters, shape (batch, LENGTH), and the one that follows each."""
        characters = torch.from_numpy(self.characters[chosen].astype(np.int64))
        return characters[:, :-1], characters[:, 1:]

    def part(self, chosen: NDArray[np.int64]) -> Self:
        """Some of the passages."""
        return replace(self, characters=self.characters[chosen], groups=self.groups[chosen])


def roles(root: Path) -> Dataset[Passages]:
    """What the 100 longest roles say.

    Raises:
        DataMissing: the plays are not there, or have fewer roles.
    """
    spoken: dict[tuple[str, str], str] = {}
    for file in _plays(root):
        if not file.name.startswith(_HISTORIES):
            spoken |= {(file.stem, role): text for role, text in speeches(file.read_text("utf-8", "replace")).items()}
    longest = sorted(spoken, key=lambda role: (-len(spoken[role]), role))[:ROLES]
    if len(longest) < ROLES:
        raise DataMissing(f"the plays in {root / _FOLDER} have {len(longest)} roles with speeches, expected {ROLES}")
    train, test = [], []
    for role in longest:
        passages = _passages(spoken[role])
        of_test = max(1, round(TEST_SHARE * len(passages)))
        train.append(passages[:-of_test])
        test.append(passages[-of_test:])
    whole = _joined(test)
    tested = np.linspace(0, len(whole.groups) - 1, min(_MAX_TESTED, len(whole.groups))).round().astype(np.int64)
    return Dataset(_FOLDER, _joined(train), whole.part(tested))


def other_plays(root: Path) -> Passages:
    """The plays that no client holds, all that is printed in them; one group.

    Raises:
        DataMissing: the plays are not there.
    """
    texts = [file.read_text("utf-8", "replace") for file in _plays(root) if file.name.startswith(_HISTORIES)]
    return _joined([_passages("\n".join(texts))])


def speeches(play: str) -> dict[str, str]:
    """What each role of a play says, in order; stage directions are left out.

    A role speaks from a line that holds nothing but its name and a full stop, after an empty line.

    >>> speeches("ACT I.\\n\\nANNE.\\nWhere is he?\\n\\n[Enter BOB.]\\n\\nBOB.\\nHere,\\nmy lady.\\n")
    {'ANNE': 'Where is he?\\n', 'BOB': 'Here,\\nmy lady.\\n'}
    """
    found: dict[str, list[str]] = {}
    role, before = None, ""
    for line in map(str.strip, _DIRECTION.sub("", play).splitlines()):
        speaker = _SPEAKER.match(line)
        if _HEADING.match(line):
            role = None
        elif speaker and not before:
            role = speaker[1]
        elif role and line:
            found.setdefault(role, []).append(line)
        before = line
    return {role: "\n".join(lines) + "\n" for role, lines in found.items()}


def _plays(root: Path) -> list[Path]:
    files = sorted((root / _FOLDER).glob("*.txt"))
    if not any(file.name.startswith(_HISTORIES) for file in files):
        raise DataMissing(
            f"Shakespeare's plays are not in {root / _FOLDER}: put them there, as Project Gutenberg's plain texts, one "
            f"play a file (hamlet.txt, henry_v.txt, richard_ii.txt, john.txt ...: those that begin with "
            f"{', '.join(_HISTORIES)} are for pre-training), or name another folder with --data-root or "
            f"{DATA_ROOT_VARIABLE}. A speaker's name stands on a line of its own, before a full stop"
        )
    return files


def _passages(text: str) -> NDArray[np.uint8]:
    """Pieces of LENGTH + 1 characters, of which neighbours share one; shape (count, LENGTH + 1)."""
    codes = _CODE[np.frombuffer(text.encode("latin-1", "replace"), np.uint8)]
    count = (len(codes) - 1) // LENGTH
    return np.lib.stride_tricks.sliding_window_view(codes, LENGTH + 1)[: count * LENGTH : LENGTH]


def _joined(parts: list[NDArray[np.uint8]]) -> Passages:
    groups = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return Passages(np.concatenate(parts), groups)
