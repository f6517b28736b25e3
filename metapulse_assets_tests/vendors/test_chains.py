"""Chains: one name each at every vendor, and one spelling of an address."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.platform.settings import Settings
from metapulse_assets.vendors.chains import BY_GECKOTERMINAL, CHAINS, canonical_address


def test_names_are_unique_at_each_vendor() -> None:
    assert len(BY_GECKOTERMINAL) == len(CHAINS)
    assert all(chain.dexscreener == name for name, chain in CHAINS.items())


def test_the_chains_tracked_by_default_are_known() -> None:
    assert set(Settings.model_fields["tracked_chains"].default) <= set(CHAINS)


@given(chain=st.sampled_from([*CHAINS, "atlantis"]), address=st.text())
def test_the_one_spelling_is_a_spelling_of_the_same_address(chain: str, address: str) -> None:
    spelling = canonical_address(chain, address)
    assert canonical_address(chain, spelling) == spelling
    assert spelling.lower() == address.lower()


@pytest.mark.parametrize(
    ("chain", "same"),
    [("ethereum", True), ("base", True), ("solana", False), ("ton", False), ("sui", False), ("atlantis", False)],
)
def test_case_means_something_where_addresses_are_not_hexadecimal(chain: str, same: bool) -> None:
    assert (canonical_address(chain, "0xAbC") == canonical_address(chain, "0xabc")) == same
