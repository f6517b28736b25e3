"""How the bytes of an answer are packed: by themselves, or against an earlier answer to the same question. No I/O.

An answer repeats most of what the one before it said, at nearly the same place. So it is cut into pieces, and each piece is
deflated with that part of the earlier answer as its dictionary: what is far away in it would be out of deflate's reach.
"""

import struct
import zlib

PIECE = 12_288
"""Bytes of one piece: a shorter one pays more often for its code tables, a longer one reaches less far. Measured on lists."""
BESIDE = 2_048
"""Bytes of the earlier answer before and after a piece's place that it may refer to, too: things move a little."""
_VERSION = b"\x01"
_LENGTH = struct.Struct(">H")


def pack(body: bytes) -> bytes:
    """A body by itself."""
    return zlib.compress(body, 6)


def unpack(packed: bytes) -> bytes:
    """The reverse of `pack`. Raises ValueError for bytes that it did not make."""
    try:
        return zlib.decompress(packed)
    except zlib.error as error:
        raise ValueError(str(error)) from None


def pack_against(base: bytes, body: bytes) -> bytes:
    """A body as what it differs in from another one."""
    pieces = [_VERSION]
    for start in range(0, len(body), PIECE):
        piece = body[start : start + PIECE]
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_FILTERED, _dictionary(base, len(body), start))
        packed = deflate.compress(piece) + deflate.flush()
        pieces += (_LENGTH.pack(len(packed)), packed)
    return b"".join(pieces)


def unpack_against(base: bytes, packed: bytes, size: int) -> bytes:
    """The reverse of `pack_against`; `size` is that of the body. Raises ValueError for bytes that do not give it."""
    if packed[:1] != _VERSION:
        raise ValueError("unknown packing")
    pieces, place, body = [], len(_VERSION), 0
    try:
        while body < size:
            (length,) = _LENGTH.unpack_from(packed, place)
            place += _LENGTH.size
            inflate = zlib.decompressobj(-15, zdict=_dictionary(base, size, body))
            pieces.append(inflate.decompress(packed[place : place + length]) + inflate.flush())
            place += length
            body += PIECE
    except (struct.error, zlib.error) as error:
        raise ValueError(str(error)) from None
    return b"".join(pieces)


def _dictionary(base: bytes, size: int, start: int) -> bytes:
    """The part of `base` that lies where a piece of a body of `size` bytes does."""
    first = start * len(base) // size
    last = min(start + PIECE, size) * len(base) // size
    return base[max(first - BESIDE, 0) : last + BESIDE]
