from pathlib import Path

import pytest

from fedvox.common.errors import InputError
from fedvox.common.identity.addresses import Address
from fedvox.server.consortium.settings import CoordinatorSettings, settings_for

OUT, HERE = Address("fl.example.org", 9443), Address("127.0.0.1", 8500)


def test_they_are_read_as_they_were_written(tmp_path: Path) -> None:
    settings = settings_for("trial", (OUT, HERE))
    settings.save(tmp_path)
    assert CoordinatorSettings.load(tmp_path) == settings
    assert (settings.host, settings.port) == ("0.0.0.0", 9443)
    assert settings.certificate_hosts == ("fl.example.org", "127.0.0.1", "localhost")


def test_without_an_address_it_listens_on_this_machine_only() -> None:
    for addresses in ((), (HERE,)):
        assert settings_for("trial", addresses).host == "127.0.0.1"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('name = "A B"', "cannot be the name"),
        ('addresses = ["nowhere"]', "no address"),
        ("addresses = []", "missing"),
        ("port = 0", "out of range"),
        ('host = ""', "missing"),
        ("site_certificate_days = 0", "from 1 to 365"),
        ("unknown = 1", "unknown key"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, line: str, told: str) -> None:
    settings_for("trial", (OUT,)).save(tmp_path)
    path = tmp_path / "coordinator.toml"
    key = line.split()[0]
    kept = [one for one in path.read_text().splitlines() if not one.startswith(f"{key} =")]
    path.write_text("\n".join([*kept, line]))
    with pytest.raises(InputError, match=told):
        CoordinatorSettings.load(tmp_path)


def test_where_there_is_no_consortium(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="consortium init DIR"):
        CoordinatorSettings.load(tmp_path)
