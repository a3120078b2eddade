"""A range coder: symbols of known probability ↔ bytes. Integers only: the same bytes on every machine.

48 bits of range; carries are propagated as in LZMA. A message may be truncated anywhere: the decoder keeps track of all
values that the missing bytes could have, and stops before the first symbol that the remaining bytes do not determine.
Encoder and decoder mirror each other, and both keep an account of decoding work: each byte of the message adds credit,
and a message that spends more than its credit is refused. Knows intervals and credit. Does not know what symbols mean.

Source: Martin 1979, "Range encoding"; the carry propagation as in Pavlov's LZMA.
"""

from __future__ import annotations

import math

_BITS = 48
_FULL = 1 << 48
_MIN_RANGE = 1 << 40  # below this the next byte is shifted out
_TOP_BYTE = 40  # the lowest bit of the top byte
_CARRIES = 0xFF << 40  # from here on a carry can change the top byte
_ONE, _BYTE = 1, 0xFF  # as 64-bit integers, for C
# Part of the format. Set so that decoding takes 3 passes over the vector and 20 µs a byte at most; tests.fuzz.hostile
# searches for messages that take longer.
_INITIAL_CREDIT, _COORDINATES_PER_CREDIT = 1 << 18, 16  # units for each message; coordinates for one unit more
_CREDIT_PER_BYTE = 1 << 10
_UNLIMITED = 1 << 62
MAX_TOTAL_FREQ = 1 << 30  # 10 bits below the smallest range, so that rounding costs less than 0.002 bits a symbol


class WorkAccount:
    """The account of decoding work that encoder and decoder both keep; unlimited until `grant`.

    Attributes:
        overdrawn: whether the message asked for more work than its bytes so far pay for.
    """

    def __init__(self) -> None:
        self._credit = _UNLIMITED
        self.overdrawn = False

    def grant(self, n: int) -> None:
        """Limit the decoding work of a message that has just begun; n: coordinates of the model."""
        self._credit = _INITIAL_CREDIT + n // _COORDINATES_PER_CREDIT

    def spend(self, work: int) -> None:
        """Subtract decoding work from the credit; if there is too little, the message is overdrawn from here on.

        Args:
            work: units, as in the table "Credit" of FORMAT.md.
        """
        if self._credit < work:
            self.overdrawn = True
        else:
            self._credit -= work


class RangeEncoder(WorkAccount):
    """Symbols → bytes.

    Args:
        capacity: bytes that are kept; of what follows them only the length is counted.

    >>> encoder = RangeEncoder(16)
    >>> encoder.encode(cum_freq=2, freq=1, total_freq=4)
    >>> encoder.length()
    1
    >>> RangeDecoder(encoder.finish()).decode_target(4)
    2
    """

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self._low, self._range = 0, _FULL - 1  # the interval's low end and size
        self._cache, self._has_cache = 0, False  # a byte that waits for a carry
        self._pending = 0  # 0xFF bytes behind it
        self._position = 0  # of the next byte
        self._buffer = bytearray(capacity)
        self._out = self._buffer

    def copy(self) -> RangeEncoder:
        """An encoder in the same state, with bytes of its own."""
        other = RangeEncoder(0)
        other._low, other._range, other._position = self._low, self._range, self._position
        other._cache, other._has_cache, other._pending = self._cache, self._has_cache, self._pending
        other._credit, other.overdrawn = self._credit, self.overdrawn
        other._buffer = bytearray(self._buffer)
        other._out = other._buffer
        return other

    def encode(self, cum_freq: int, freq: int, total_freq: int) -> None:
        """Encode one symbol: narrow the range to [cum_freq, cum_freq + freq) of total_freq.

        Args:
            cum_freq: sum of the frequencies of all smaller symbols.
            freq: of the symbol, at least 1; its probability is freq / total_freq.
            total_freq: sum of all frequencies, at most MAX_TOTAL_FREQ.
        """
        unit = self._range // total_freq
        self._low += unit * cum_freq
        if cum_freq + freq == total_freq:
            self._range -= unit * cum_freq
        else:
            self._range = unit * freq
        while self._range < _MIN_RANGE:
            self._shift()
            self._range <<= 8
            self._credit += _CREDIT_PER_BYTE

    def capacity(self) -> int:
        """Bytes that are kept."""
        return len(self._buffer)

    def bytes_written(self) -> int:
        """Bytes of the message so far, those that wait for a carry included."""
        return self._position + self._pending + self._has_cache

    def length(self) -> int:
        """Bytes of the message if it ended here; more than the capacity if it did not fit."""
        return self.bytes_written() + self._last_bytes()

    def finish(self) -> bytes:
        """End the message with as few bytes as make its last symbol certain, whatever bytes follow.

        Returns:
            The message, truncated to the capacity.
        """
        length = self.length()
        below = (_ONE << (_BITS - 8 * self._last_bytes())) - 1
        self._low = (self._low + below) & ~below
        for _ in range(_BITS // 8 + 1):
            self._shift()
        return bytes(self._buffer[:length])

    def _last_bytes(self) -> int:
        """How many bytes of `low` make the last symbol certain."""
        last = self._low + self._range - 1
        kept = 0
        while True:
            below = (_ONE << (_BITS - 8 * kept)) - 1
            value = (self._low + below) & ~below
            if value <= last and below <= last - value:  # whatever follows the kept bytes lies within the range
                return kept
            kept += 1

    def _shift(self) -> None:
        """Move the top byte out of `low` as soon as no carry can change it any more."""
        if self._low < _CARRIES or self._low >= _FULL:
            carry = self._low >> _BITS
            if self._has_cache:
                self._emit((self._cache + carry) & 0xFF)
            while self._pending > 0:
                self._emit((0xFF + carry) & 0xFF)
                self._pending -= 1
            self._cache = (self._low >> _TOP_BYTE) & 0xFF
            self._has_cache = True
        else:
            self._pending += 1
        self._low = (self._low & (_MIN_RANGE - 1)) << 8

    def _emit(self, byte: int) -> None:
        """Write a byte; past the end only the length is counted."""
        if self._position < len(self._out):
            self._out[self._position] = byte
        self._position += 1


class RangeDecoder(WorkAccount):
    """Bytes → symbols.

    Args:
        data: a message, whole or truncated.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._data = data
        self._range = _FULL - 1
        self._code = 0  # the message minus the interval's low end; missing bytes are 0
        self._unknown = 0  # what missing bytes could add to it
        self._position = 0  # of the next byte
        self._undetermined = False
        for _ in range(_BITS // 8):
            self._read()

    def exhausted(self) -> bool:
        """Whether to stop: the remaining bytes do not determine the next symbol, or the message is overdrawn.

        The last `decode_target` before it became true is not to be used.
        """
        return self._undetermined or self.overdrawn

    def is_whole(self) -> bool:
        """Whether no byte that was looked at so far is missing."""
        return self._unknown == 0

    def decode_target(self, total_freq: int) -> int:
        """A cumulative frequency within the interval of the next symbol; `decode_update` follows, with that symbol.

        Args:
            total_freq: as the encoder was given.

        Returns:
            0 to total_freq − 1.
        """
        target = self._code // (self._range // total_freq)
        return target if target < total_freq else total_freq - 1

    def decode_update(self, cum_freq: int, freq: int, total_freq: int) -> None:
        """Narrow the range as `encode` did, unless missing bytes could also mean another symbol: then it is exhausted.

        Args:
            cum_freq: as the encoder was given, for the symbol in whose interval `decode_target` lies.
            freq: as the encoder was given.
            total_freq: as the encoder was given.
        """
        unit = self._range // total_freq
        self._narrow(unit * cum_freq, self._range if cum_freq + freq == total_freq else unit * (cum_freq + freq))

    def decode_flag(self, zeros: int, total_freq: int) -> int:
        """Decode a flag; not to be used if the decoder is exhausted after it.

        Args:
            zeros: the frequency of 0, whose interval comes first; at least 1.
            total_freq: more than that.

        Returns:
            What `decode_target` and `decode_update` would come to, in one division instead of three.
        """
        start = self._range // total_freq * zeros
        flag = 1 if self._code >= start else 0
        if flag:
            self._narrow(start, self._range)
        else:
            self._narrow(0, start)
        return flag

    def fully_consumed(self) -> bool:
        """Whether the symbols so far need every byte: without the last one, the last symbol would not be determined.

        Not to be asked of a decoder that is exhausted.
        """
        size = len(self._data)
        if size > self._position:
            return False
        missing = 8 * (self._position - size)
        last = self._data[size - 1]
        last <<= missing
        unknown = (_BYTE << missing) + ((_ONE << missing) - 1)
        return self._code < last or self._code - last + unknown >= self._range

    def bits_read(self) -> float:
        """Information that the symbols decoded so far have used, in bits."""
        return 8.0 * self._position - math.log2(self._range)

    def _narrow(self, start: int, end: int) -> None:
        """Narrow the range to [start, end), unless missing bytes could also mean another symbol."""
        if self._code + self._unknown >= end or self._code < start:
            self._undetermined = True
        else:
            self._code -= start
            self._range = end - start
            while self._range < _MIN_RANGE:
                self._read()
                self._range <<= 8
                self._credit += _CREDIT_PER_BYTE

    def _read(self) -> None:
        """Take the next byte of the message; past its end, one that may have any value from 0 to 255."""
        if self._position < len(self._data):
            self._code = self._code << 8 | self._data[self._position]
        else:
            self._code <<= 8
            self._unknown = self._unknown << 8 | 0xFF
        self._position += 1
