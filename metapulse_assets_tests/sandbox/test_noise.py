"""Laws of the hashed noise: one value per key and position, however it is asked for."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.sandbox.synthetic.noise import (
    draw,
    mix,
    octave_noise,
    octave_noise_at,
    standard,
    uniform,
    van_der_corput,
)
from metapulse_assets.sandbox.synthetic.prices import PRICE_OCTAVES

KEYS = mix(np.arange(1, 6, dtype=np.uint64))
positions = st.integers(min_value=-(2**40), max_value=2**40)


def test_mix_is_splitmix64() -> None:
    # The first outputs of the reference implementation of splitmix64 for the seed 0.
    states = np.array([0x9E3779B97F4A7C15, 0x3C6EF372FE94F82A], dtype=np.uint64)
    assert [hex(value) for value in mix(states)] == ["0xe220a8397b1dcdaf", "0x6e789e6aa1b965f4"]


@given(first=positions, count=st.integers(1, 300), shift=st.integers(0, 299))
def test_a_value_does_not_depend_on_the_range_asked_for(first: int, count: int, shift: int) -> None:
    whole = octave_noise(KEYS, first, 300, PRICE_OCTAVES)
    part = octave_noise(KEYS, first + shift, count, PRICE_OCTAVES)
    overlap = min(count, 300 - shift)
    np.testing.assert_array_equal(whole[:, shift : shift + overlap], part[:, :overlap])


@given(first=positions, column=st.integers(0, 99))
def test_one_position_per_key_equals_the_range(first: int, column: int) -> None:
    whole = octave_noise(KEYS, first, 100, PRICE_OCTAVES)
    single = octave_noise_at(KEYS, np.full(len(KEYS), first + column, dtype=np.int64), PRICE_OCTAVES)
    np.testing.assert_array_equal(whole[:, column], single)


def test_steps_have_unit_variance_and_spread_with_the_square_root_of_time() -> None:
    keys = mix(np.arange(1, 201, dtype=np.uint64))
    path = octave_noise(keys, 10_000, 4000, PRICE_OCTAVES)
    assert abs(np.diff(path, axis=1).std() - 1) < 0.05
    hour = (path[:, 12:] - path[:, :-12]).std()
    day = (path[:, 288:] - path[:, :-288]).std()
    assert 3.0 < day / hour < 6.5  # sqrt(24) is 4.9


def test_numbers_are_uniform_and_standard() -> None:
    hashes = mix(np.arange(1, 200_001, dtype=np.uint64))
    numbers = uniform(hashes)
    assert 0 <= numbers.min() < 0.001
    assert 0.999 < numbers.max() < 1
    assert abs(numbers.mean() - 0.5) < 0.005
    assert abs(standard(hashes).std() - 1) < 0.01
    assert abs(standard(hashes).mean()) < 0.01


def test_properties_do_not_share_their_randomness() -> None:
    keys = mix(np.arange(1, 5001, dtype=np.uint64))
    assert abs(np.corrcoef(draw(keys, "price"), draw(keys, "volume"))[0, 1]) < 0.05


def test_phases_are_spread_evenly_for_any_number_of_ranks() -> None:
    for count in (1, 2, 5, 16, 23):
        phases = np.sort(van_der_corput(np.arange(count)))
        gaps = np.diff(np.append(phases, phases[0] + 1))
        assert gaps.max() <= 2.0 / count
