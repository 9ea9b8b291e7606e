from __future__ import annotations

from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelstore.domain.errors import InvalidInput, InvalidServerUrl, ServerUnauthorized
from reelstore.domain.server import check_zone
from reelstore.storage.bucket import BucketAccess, BucketServer
from reelstore.storage.bucket.access import open_store
from reelstore.storage.bucket.url import bucket_address
from reelstore.storage.registry import Access, connect, default_capacity, default_zone, same_place

ACCESS = Access(buckets=BucketAccess())
SECRET = "wJalrXUtnFEMI"

INVALID = {
    "s3:": "name is missing",
    "s3://": "name is missing",
    "s3:///prefix": "name is missing",
    "s3://a b/x": "space",
    "s3://b_u!cket/x": "or is none",
    f"s3://AKIA:{SECRET}@videos/x": "credentials.*environment",
    f"s3://videos/x?secret_access_key={SECRET}": "credentials.*environment",
    f"s3://videos/x?aws_session_token={SECRET}": "credentials.*environment",
    f"az://videos/x?account=abc&sas={SECRET}": "credentials.*environment",
    f"s3://videos/x?endpoint=https://AKIA:{SECRET}@host": "credentials.*environment",
    f"s3://videos/x?region=%0a{SECRET}": "region is not what",
    f"s3://videos/x?path_style={SECRET}": "path_style is not what",
    "s3://videos/x?colour=red": "unknown option 'colour'.*endpoint",
    "s3://videos/x?region=a&region=b": "twice",
    "s3://videos/../x": "prefix",
    "s3://videos/a//b": "prefix",
    "s3://videos/.hidden": "prefix",
    "s3://videos/a%2Fb": "prefix",
    "s3://videos/" + "x" * 513: "512",
    "s3://videos/x#y": "fragment",
    "s3://videos/x?endpoint=host:9000": "endpoint is http",
    "s3://videos/x?endpoint=ftp://host": "endpoint is http",
    "s3://videos/x?endpoint=http://host/path": "nothing more",
    "s3://videos/x?endpoint=http://": "host or port",
    "s3://videos/x?endpoint=http://ho!st": "host or port",
    "s3://videos/x?endpoint=http://host:0": "host or port",
    "s3://videos/x?endpoint=http://host:99999": "no URL",
    "s3://videos/x?endpoint=http://10.0.0.1&path_style=false": "must be a name",
    "gs://videos/x?region=eu": "unknown option",
    "az://videos/x": "account",
    "az://videos/x?account=A": "account is not what",
}


@pytest.mark.parametrize(("url", "reason"), INVALID.items(), ids=lambda value: repr(value)[:50])
def test_what_is_no_buckets_url_is_refused_with_the_reason_and_no_secret_is_repeated(url: str, reason: str) -> None:
    for ask in (
        lambda: connect(url, name="a", capacity_bytes=1, access=ACCESS),
        lambda: default_zone(url),
        lambda: default_capacity(url),
        lambda: same_place(url, url),
    ):
        with pytest.raises(InvalidServerUrl, match=reason) as error:
            ask()
        assert error.value.field == "url"
        assert SECRET not in str(error.value)


@given(st.text(), st.sampled_from(["s3", "gs", "az"]))
def test_any_text_is_a_bucket_or_an_invalid_url(text: str, scheme: str) -> None:
    for url in (
        f"{scheme}://{text}",
        f"{scheme}://videos/{text}",
        f"{scheme}://videos/x?endpoint={quote(text, errors='ignore')}",
    ):
        try:
            server = connect(url, name="a", capacity_bytes=1, access=ACCESS)
        except InvalidServerUrl:
            continue
        assert isinstance(server, BucketServer)


def test_a_bucket_needs_a_capacity_and_a_gateway_that_reaches_buckets() -> None:
    with pytest.raises(InvalidInput, match="no size of its own") as error:
        connect("s3://videos/x", name="a", access=ACCESS)
    assert error.value.field == "capacity_bytes"
    assert default_capacity("s3://videos/x") == 0
    with pytest.raises(InvalidServerUrl, match="no buckets"):
        connect("s3://videos/x", name="a", capacity_bytes=1)


@pytest.mark.parametrize(
    ("url", "zone"),
    [
        ("s3://videos/x?endpoint=https://s3.example:9000", "s3.example"),
        ("s3://videos/x?endpoint=http://[::1]:9000", "1"),
        ("s3://videos/x?region=eu-central-1", "s3-eu-central-1"),
        ("s3://videos/x", "s3"),
        ("gs://videos", "gs"),
        ("az://videos?account=films", "az-films"),
    ],
)
def test_what_surely_fails_together_shares_a_zone(url: str, zone: str) -> None:
    assert default_zone(url) == check_zone(zone)


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("s3://videos/x", "s3://videos/x/", True),
        ("s3://videos/x", "s3://videos/x?region=eu-central-1", True),
        ("s3://videos/x", "s3://videos/x/y", True),
        ("s3://videos", "s3://videos/x", True),
        ("s3://videos/x", "s3://videos/xy", False),
        ("s3://videos/x", "s3://films/x", False),
        ("s3://videos/x", "gs://videos/x", False),
        ("s3://videos/x", "s3://videos/x?endpoint=https://s3.example", False),
        ("s3://v01/x?endpoint=http://127.0.0.1:9000", "s3://v01/x?endpoint=http://localhost:9000", True),
        ("s3://v01/x?endpoint=http://127.0.0.1:9000", "s3://v01/x?endpoint=http://127.0.0.1:9001", False),
        ("s3://v01/x?endpoint=http://h", "s3://v01/x?endpoint=http://h:80", True),
        ("az://v01/x?account=one", "az://v01/x?account=two", False),
    ],
)
def test_two_urls_of_one_place_are_known_as_one(a: str, b: str, same: bool) -> None:
    assert same_place(a, b) is same_place(b, a) is same


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("s3://videos/x?endpoint=http://10.0.0.1:9000", {"endpoint": "http://10.0.0.1:9000"}),
        ("s3://videos/x?endpoint=https://host&path_style=false", {"endpoint": "https://videos.host:443"}),
        ("s3://videos/x?region=eu-central-1", {"region": "eu-central-1"}),
        ("az://videos/x?account=films", {"account_name": "films"}),
    ],
)
def test_the_options_of_the_url_reach_the_store(url: str, options: dict[str, str]) -> None:
    variables = {
        "REELSTORE_SERVER_N_1_ACCESS_KEY_ID": "AKIA",
        "REELSTORE_SERVER_N_1_SECRET_ACCESS_KEY": SECRET,
        "REELSTORE_SERVER_N_1_ACCOUNT_KEY": "YWJj",
    }
    store = open_store(bucket_address(urlsplit(url)), "n-1", BucketAccess(variables))
    assert store.prefix == "x"
    config = {
        key.removeprefix("aws_").removeprefix("azure_storage_"): value for key, value in (store.config or {}).items()
    }
    assert options.items() <= config.items()


def test_without_credentials_a_bucket_is_not_opened_and_those_given_are_not_shown() -> None:
    with pytest.raises(ServerUnauthorized, match="there are no credentials"):
        open_store(bucket_address(urlsplit("s3://videos/x?endpoint=http://h")), "a", BucketAccess())
    assert SECRET not in repr(BucketAccess({"REELSTORE_SERVER_A_SECRET_ACCESS_KEY": SECRET}))
