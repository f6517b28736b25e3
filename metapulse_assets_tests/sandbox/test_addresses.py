"""Addresses look, and on Solana decode, like the chains' own."""

import re

import numpy as np

from metapulse_assets.sandbox.synthetic.addresses import evm_addresses, solana_addresses
from metapulse_assets.sandbox.synthetic.noise import mix

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
KEYS = mix(np.arange(1, 2001, dtype=np.uint64))


def decoded_length(address: str) -> int:
    value = 0
    for character in address:
        value = value * 58 + ALPHABET.index(character)
    return (value.bit_length() + 7) // 8 + len(address) - len(address.lstrip("1"))


def test_solana_addresses_are_32_bytes_in_44_characters() -> None:
    addresses = solana_addresses(KEYS, "token")
    assert len(set(addresses)) == len(KEYS)
    assert {len(address) for address in addresses} == {44}
    assert {decoded_length(address) for address in addresses} == {32}


def test_a_vanity_ending_keeps_the_length() -> None:
    addresses = solana_addresses(KEYS, "token", "pump")
    assert all(address.endswith("pump") for address in addresses)
    assert {decoded_length(address) for address in addresses} == {32}


def test_evm_addresses_are_mixed_case_hexadecimal() -> None:
    addresses = evm_addresses(KEYS, "token")
    assert len({address.lower() for address in addresses}) == len(KEYS)
    assert all(re.fullmatch(r"0x[0-9a-fA-F]{40}", address) for address in addresses)
    assert sum(address[2:] not in (address[2:].lower(), address[2:].upper()) for address in addresses) > 1900


def test_names_of_properties_give_different_addresses() -> None:
    assert not set(solana_addresses(KEYS, "token")) & set(solana_addresses(KEYS, "pair"))


def test_no_keys_give_no_addresses() -> None:
    assert solana_addresses(KEYS[:0], "token") == evm_addresses(KEYS[:0], "token") == []
