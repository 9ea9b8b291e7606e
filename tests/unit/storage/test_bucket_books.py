from __future__ import annotations

import pytest

from reelstore.domain.errors import ServerFull
from reelstore.storage.bucket.books import Books

HERE, THERE = ("default", 1), ("default", 2)


def books_with(size_bytes: int) -> Books:
    books = Books("a", 100)
    books.count(HERE, size_bytes, books.moment())
    return books


def used(books: Books) -> int:
    return books.usage().used_bytes


def test_a_count_is_taken_where_nothing_changed_since_it_began() -> None:
    books = books_with(30)
    since = books.moment()
    with books.changing(HERE, 5) as room:
        books.settle(room, 5)
    books.count(HERE, 30, since)
    books.count(THERE, 7, since)
    assert used(books) == 42
    books.count(HERE, 31, books.moment())
    assert used(books) == 38


def test_a_count_is_not_taken_while_a_change_is_under_way() -> None:
    books = books_with(30)
    with books.changing(HERE, 5) as room:
        books.count(HERE, 35, books.moment())
        assert used(books) == 30
        books.settle(room, 5)
    assert used(books) == 35


def test_a_change_that_failed_adds_nothing_and_leaves_it_to_the_next_count() -> None:
    books, since = books_with(30), 0
    with pytest.raises(ZeroDivisionError), books.changing(HERE, 5):
        raise ZeroDivisionError
    books.count(HERE, 99, since)
    assert used(books) == 30
    books.count(HERE, 35, books.moment())
    assert used(books) == 35


def test_room_is_kept_for_what_is_under_way_and_given_back() -> None:
    books = books_with(30)
    with books.changing(HERE, 60), pytest.raises(ServerFull), books.changing(THERE, 11):
        pass
    assert books.usage().free_bytes == 70
    with books.changing(THERE, 70):
        assert books.usage().free_bytes == 0


def test_what_shrinks_or_may_overfill_is_never_refused() -> None:
    books = books_with(200)
    with books.changing(HERE, -50) as room:
        books.settle(room, -50)
    with books.changing(THERE, 10, may_overfill=True) as room:
        books.settle(room, 10)
    assert used(books) == 160


def test_books_never_fall_below_nothing() -> None:
    books = books_with(1)
    with books.changing(HERE) as room:
        books.settle(room, -10)
    assert used(books) == 0
