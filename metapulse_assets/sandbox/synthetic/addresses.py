"""Addresses that look and decode like the chains' own, derived from a hash.

Base58 strings decode to exactly 32 bytes; EVM addresses have mixed case but no valid EIP-55 checksum.
"""

from typing import Final

import numpy as np

from metapulse_assets.sandbox.synthetic.noise import Ints, Keys, hashed, stream

_BASE58: Final = np.frombuffer(b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", dtype=np.uint8)
_HEX: Final = np.frombuffer(b"0123456789abcdef0123456789ABCDEF", dtype=np.uint8)
_LENGTH: Final = 44
# 58**43 > 2**248 and 17 * 58**43 < 2**256: a first digit of 1..16 makes every 44-digit string exactly 32 bytes.
_FIRST_DIGITS: Final = 16


def solana_addresses(keys: Keys, name: str, ending: str = "") -> list[str]:
    """Return one base58 address of 44 characters per key; ``ending`` is a vanity suffix such as ``pump``."""
    raw = _hash_bytes(stream(keys, name), _LENGTH)
    digits = _BASE58[raw % 58]
    digits[:, 0] = _BASE58[1 + raw[:, 0] % _FIRST_DIGITS]
    if ending:
        digits[:, _LENGTH - len(ending) :] = np.frombuffer(ending.encode(), dtype=np.uint8)
    return _texts(digits)


def evm_addresses(keys: Keys, name: str) -> list[str]:
    """Return one 0x address of 40 hexadecimal digits in mixed case per key."""
    raw = _hash_bytes(stream(keys, name), 40)
    return ["0x" + text for text in _texts(_HEX[raw % 32])]


def _hash_bytes(keys: Keys, count: int) -> Ints:
    words = hashed(keys[:, None], np.arange((count + 7) // 8, dtype=np.int64)[None, :])
    # "<u8" fixes the byte order, so that addresses are the same on every machine.
    return words.astype("<u8").view(np.uint8).reshape(len(keys), 8 * words.shape[1])[:, :count].astype(np.int64)


def _texts(digits: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> list[str]:
    width = digits.shape[1]
    whole = digits.tobytes().decode("ascii")
    return [whole[start : start + width] for start in range(0, len(whole), width)]
