"""Settings: flags before variables before the file before defaults, each with its bounds, and errors that say which."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from reelstore.config import MIB, Settings, load_settings
from reelstore.domain.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _no_variables_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"REELSTORE_{name.upper()}", raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "reelstore.toml"


def refused(**flags: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(**flags)
    return str(caught.value)


# ---------------------------------------------------------------------- where a value comes from


def test_without_anything_the_defaults_hold() -> None:
    settings = load_settings()
    assert settings == Settings()
    assert (settings.host, settings.port, settings.data) == ("127.0.0.1", 5000, Path("reelstore-data"))
    assert (settings.copies, settings.first_servers, settings.partition_bits) == (2, 3, 12)
    assert not settings.memory
    assert settings.background


def test_a_flag_goes_before_a_variable_before_the_file(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    file.write_text("port = 1\ncopies = 3\nhost = '10.0.0.1'\n")
    assert load_settings(file).port == 1
    monkeypatch.setenv("REELSTORE_PORT", "2")
    monkeypatch.setenv("REELSTORE_COPIES", "4")
    settings = load_settings(file, port=3)
    assert (settings.port, settings.copies, settings.host) == (3, 4, "10.0.0.1")
    assert load_settings(file).port == 2
    assert load_settings(port=3).port == 3


def test_a_flag_that_was_not_given_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELSTORE_PORT", "2")
    assert load_settings(port=None, host=None).port == 2


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("data", "/srv/x y", Path("/srv/x y")),
        ("memory", "true", True),
        ("background", "0", False),
        ("port", "0", 0),
        ("database_url", "sqlite:////x.sqlite", "sqlite:////x.sqlite"),
        ("put_timeout_seconds", "0.5", 0.5),
        ("cache_bytes", "0", 0),
        ("log_level", "debug", "debug"),
    ],
)
def test_every_kind_of_value_is_read_from_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: object
) -> None:
    monkeypatch.setenv(f"REELSTORE_{name.upper()}", text)
    assert getattr(load_settings(), name) == value


@pytest.mark.parametrize(
    "text", ["video.example.org,localhost", "video.example.org, localhost", '["video.example.org", "localhost"]']
)
def test_a_list_of_hosts_is_read_from_its_variable(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("REELSTORE_ALLOWED_HOSTS", text)
    assert load_settings().allowed_hosts == ("video.example.org", "localhost")


def test_a_list_that_is_broken_off_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELSTORE_ALLOWED_HOSTS", '["a"')
    assert "allowed_hosts" in refused()


def test_a_list_of_hosts_is_read_from_the_file_and_from_a_flag(file: Path) -> None:
    file.write_text("allowed_hosts = ['a', 'b']\n")
    assert load_settings(file).allowed_hosts == ("a", "b")
    assert load_settings(file, allowed_hosts=("c",)).allowed_hosts == ("c",)


# ---------------------------------------------------------------------- bounds

BOUNDS: list[tuple[str, list[Any], list[Any]]] = [
    ("port", [0, 65535], [-1, 65536, "x", 1.5]),
    ("copies", [1, 9], [0, 10]),
    ("first_servers", [0, 64], [-1, 65]),
    ("chunk_size_bytes", [4096, 64 * MIB], [4095, 64 * MIB + 1]),
    ("partition_bits", [2, 16], [1, 17]),
    ("write_memory_bytes", [64 * MIB], [64 * MIB - 1]),
    ("read_memory_bytes", [64 * MIB], [64 * MIB - 1]),
    ("cache_bytes", [0], [-1]),
    ("open_file_seconds", [0.001], [0, -1]),
    ("put_timeout_seconds", [0.001], [0, -1]),
    ("get_timeout_seconds", [0.001], [0, -1]),
    ("probe_seconds", [0.001], [0, -1]),
    ("evict", ["auto", "on", "off"], ["yes", ""]),
    ("evict_after_seconds", [0.001], [0, -1]),
    ("probe_misses", [1, 1000], [0, 1001]),
    ("expiry_seconds", [0.001], [0, -1]),
    ("survey_seconds", [0.001], [0, -1]),
    ("scrub_seconds", [0.001], [0, -1]),
    ("scrub_bytes_per_second", [MIB], [MIB - 1]),
    ("quarantine_seconds", [0.001], [0, -1]),
    ("usage_sample_seconds", [0.001], [0, -1]),
    ("event_keep_seconds", [0.001], [0, -1]),
    ("graceful_seconds", [0], [-1]),
    ("drain_seconds", [0], [-1]),
    ("log_level", ["debug", "info", "warning", "error"], ["DEBUG", "trace", "", "info\n"]),
    ("memory", [True, "yes"], ["perhaps", 2]),
    ("background", [True, False], ["maybe"]),
]


@pytest.mark.parametrize(("name", "good", "bad"), BOUNDS)
def test_each_bound_holds_at_it_and_one_past_it(name: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        load_settings(**{name: value})
    for value in bad:
        assert name in refused(**{name: value})


SECONDS = sorted(name for name in Settings.model_fields if name.endswith("_seconds"))


@pytest.mark.parametrize("name", SECONDS)
@pytest.mark.parametrize("value", ["inf", "nan", "1e300", "-inf"])
def test_no_time_is_endless_or_no_number(name: str, value: str) -> None:
    """Such a time would pass here and fail in the middle of an upload."""
    assert name in refused(**{name: float(value)})
    assert name in refused(**{name: value})


def test_every_setting_with_a_bound_is_tested() -> None:
    tested = {name for name, _, _ in BOUNDS}
    assert tested | {
        "data",
        "host",
        "database_url",
        "allowed_hosts",
        "node_secret",
        "node_secret_file",
        "node_ca_file",
    } == set(Settings.model_fields)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().port = 1


# ---------------------------------------------------------------------- errors


def test_an_error_names_the_setting_and_every_one_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELSTORE_PORT", "abc")
    monkeypatch.setenv("REELSTORE_COPIES", "0")
    message = refused()
    assert "port" in message
    assert "copies" in message


def test_an_unknown_setting_is_refused_by_name(file: Path) -> None:
    assert "prot" in refused(prot=1)
    file.write_text("prot = 1\n")
    assert "prot" in refused(config=file)


def test_an_unknown_variable_is_somebody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELSTORE_URL", "http://x")
    monkeypatch.setenv("REELSTORE_WHATEVER", "1")
    load_settings()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"port = \n", "no TOML"),
        (b"port = 1\nport = 2\n", "no TOML"),
        (b"\xff\xfe", "no TOML"),
        (b"[server]\nport = 1\n", "server"),
        (b"port = 'x'\n", "port"),
        (b"copies = [1]\n", "copies"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_reason(file: Path, content: bytes, says: str) -> None:
    file.write_bytes(content)
    assert says in refused(config=file)


def test_a_file_that_is_not_there_is_named(file: Path) -> None:
    assert re.search(r"reelstore\.toml cannot be read: No such file", refused(config=file))
    assert "cannot be read" in refused(config=file.parent)


def test_an_empty_file_changes_nothing(file: Path) -> None:
    file.write_text("# nothing\n")
    assert load_settings(file) == Settings()


def test_every_setting_says_what_it_does() -> None:
    assert all(field.description and field.description.endswith(".") for field in Settings.model_fields.values())
