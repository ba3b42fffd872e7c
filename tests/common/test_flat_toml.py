import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedvox.common.errors import InputError
from fedvox.common.flat_toml import flat_text, parse_flat, read_flat

SHAPE = {"name": "", "port": 0, "addresses": ()}
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(TEXTS, st.integers(-(2**62), 2**62), st.lists(TEXTS, max_size=3).map(tuple))
def test_what_is_written_is_read_back(name: str, port: int, addresses: tuple[str, ...]) -> None:
    values = {"name": name, "port": port, "addresses": addresses}
    text = flat_text(values, "two\nlines")
    assert parse_flat(text, SHAPE, "here") == values
    assert tomllib.loads(text)["name"] == name  # it is TOML for others as well
    assert text.startswith("# two\n# lines\n")


def test_what_is_left_out_is_as_in_the_shape() -> None:
    assert parse_flat('name = "a"', SHAPE, "here") == {"name": "a", "port": 0, "addresses": ()}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('nane = "a"', "here: unknown key 'nane'; did you mean 'name'?"),
        ("name = 3", "here: name must be a text in quotes"),
        ("port = true", "here: port must be a whole number"),
        ('port = "1"', "here: port must be a whole number"),
        ("addresses = [1]", "here: addresses must be a list of texts"),
        ('addresses = "a"', "here: addresses must be a list of texts"),
        ("name = ", "here: not valid TOML"),
    ],
)
def test_errors_name_place_and_kind(text: str, told: str) -> None:
    with pytest.raises(InputError) as error:
        parse_flat(text, SHAPE, "here")
    assert str(error.value).startswith(told)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    with pytest.raises(InputError, match="not found; it should be settings"):
        read_flat(path, SHAPE, "settings")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="cannot be read"):
        read_flat(path, SHAPE, "settings")
    path.write_bytes(b"#" * 70000)
    with pytest.raises(InputError, match="too large"):
        read_flat(path, SHAPE, "settings")
