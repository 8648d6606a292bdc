"""Settings: where they come from, which win, what is refused; and docs/settings.md tells all of them."""

import json
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from lading.core.errors import SettingsError
from lading.settings import Settings

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"


def documented() -> dict[str, str]:
    """The defaults that the document tells, by dotted key."""
    found, section = {}, ""
    for line in DOCUMENT.read_text().splitlines():
        if heading := re.fullmatch(r"## \[(\w+)\]", line):
            section = heading[1]
        elif row := re.fullmatch(r"\| `(\w+)` \| (.+?) \| .+ \|", line):
            found[f"{section}.{row[1]}"] = row[2].strip("`")
    return found


def test_the_document_tells_every_setting_with_its_default() -> None:
    expected = {}
    for section, field in Settings.model_fields.items():
        if isinstance(field.default, BaseModel):
            for name, value in field.default:
                shown = "empty" if value == "" else "none" if value in (None, []) else json.dumps(value)
                expected[f"{section}.{name}"] = shown
    assert documented() == expected


def test_a_variable_wins_over_the_file_and_the_command_line_over_both(tmp_path: Path) -> None:
    file = tmp_path / "lading.toml"
    file.write_text('[server]\nport = 1\nhost = "10.0.0.1"\nworkers = 1\n')
    environment = {"LADING_SERVER__PORT": "2", "LADING_SERVER__HOST": "10.0.0.2", "HOME": "/"}
    server = Settings.load(file=file, environment=environment, overrides={"server": {"port": 3, "host": None}}).server
    assert (server.port, server.host, server.workers) == (3, "10.0.0.2", 1)


def test_lists_are_written_with_commas_in_variables() -> None:
    environment = {
        "LADING_SERVER__NAMES": "a.example, b.example",
        "LADING_SERVER__TRUSTED_PROXIES": "10.0.0.0/8,::1/128",
    }
    server = Settings.load(file=None, environment=environment).server
    assert server.names == ["a.example", "b.example"]
    assert [str(network) for network in server.trusted_proxies] == ["10.0.0.0/8", "::1/128"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[server]\ncolour = 1\n", "server.colour"),
        ("colour = 1\n", "colour"),
        ("[server]\nport = 70000\n", "server.port"),
        ('[server]\nexternal_url = "https://a.example/path"\n', "server.external_url"),
        ("[server\n", "not TOML"),
    ],
)
def test_what_a_file_may_not_say_is_refused_by_its_name(tmp_path: Path, text: str, word: str) -> None:
    file = tmp_path / "lading.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=re.escape(word)):
        Settings.load(file=file, environment={})


@pytest.mark.parametrize("name", ["LADING_SERVER__COLOUR", "LADING_COLOUR", "LADING_SERVER"])
def test_a_variable_that_is_no_setting_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Settings.load(file=None, environment={name: "1"})
