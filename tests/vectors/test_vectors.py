"""Every vector is made again and compared, and every file has its generator."""

import pytest

from tests.vectors.generate import DATA, all_vectors


@pytest.mark.parametrize("name", sorted(all_vectors()))
def test_regenerates_to_the_same_bytes(name: str) -> None:
    assert all_vectors()[name]() == (DATA / name).read_bytes()


def test_every_file_has_a_generator() -> None:
    assert {path.name for path in DATA.iterdir()} == set(all_vectors())
