"""What the files of the repository may say: reasons with every suppression, no host of a registry, no one's paths."""

from __future__ import annotations

import io
import re
import tokenize

import pytest

from tests.tidy.inventory import Module, module_from, modules, text_files

SUPPRESSION = re.compile(
    r"#\s*(?:noqa(?::\s*[A-Z]+[0-9]+(?:,\s*[A-Z]+[0-9]+)*)?|type:\s*ignore(?:\[[\w, -]+\])?|pragma:[\w ]+"
    r"|ruff:\s*noqa(?::\s*[A-Z0-9, ]+)?|mypy:\s*[\w=-]+)"
)
A_REASON = re.compile(r"[^\W\d]{4,}|[^\W\d]{2,}\W+[^\W\d]{2,}")  # a word, or several short ones

# Written so that the pattern is not itself what it looks for.
REGISTRY_HOST = re.compile(
    r"\b(?:(?:py[p]i|python[h]osted|maven|proxy[.]golang|deb[.]debian)[.]org|npm[j]s[.](?:org|com)"
    r"|yarn[p]kg[.]com|(?:crates|ghcr|docker)[.]io)\b",
    re.IGNORECASE,
)
MACHINE_PATH = re.compile(r"(?<![\w.:/])/(?:work|root|home|Users)/\w")


def suppressions_without_reason(module: Module) -> list[str]:
    found = []
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        if token.type != tokenize.COMMENT or not SUPPRESSION.search(token.string):
            continue
        if not A_REASON.search(SUPPRESSION.sub("", token.string)):
            found.append(f"{module.path}:{token.start[0]}: {token.string}")
    return found


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path}:{number}: {line.strip()[:120]}"
        for path, text in text_files()
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]


def test_every_suppression_gives_a_reason() -> None:
    found = [line for module in modules("src", "tests", "benchmarks") for line in suppressions_without_reason(module)]
    assert found == []


def test_no_file_names_a_registry() -> None:
    assert lines_with(REGISTRY_HOST) == []


def test_no_file_names_a_path_of_somebody_s_machine() -> None:
    assert lines_with(MACHINE_PATH) == []


@pytest.mark.parametrize("comment", ["noqa", "noqa: S101", "type: ignore[misc]", "pragma: no cover", "noqa: S101 - x"])
def test_a_suppression_without_a_reason_is_noticed(comment: str) -> None:
    assert len(suppressions_without_reason(module_from(f"a = 1  # {comment}\n"))) == 1


@pytest.mark.parametrize(
    "comment", ["noqa: S101, B008 - the type checker cannot see it", "type: ignore[misc]  # no stubs exist", "why"]
)
def test_a_suppression_with_a_reason_passes(comment: str) -> None:
    assert suppressions_without_reason(module_from(f"a = 1  # {comment}\n")) == []


def test_a_host_and_a_path_are_noticed_and_others_are_not() -> None:
    parts = ("files", "pythonhosted", "org")
    assert REGISTRY_HOST.search("https://" + ".".join(parts) + "/x")
    assert not REGISTRY_HOST.search("https://example.org/debian")
    assert MACHINE_PATH.search("see /" + "home" + "/ann/x")
    assert not MACHINE_PATH.search("http://example.org/home/ann")
