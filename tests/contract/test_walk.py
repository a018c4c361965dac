"""A newcomer's walk through a request stays short: moves between files, and calls of ours (bench/walk.py)."""

import pytest

from bench.walk import moves, traced

MAX_MOVES_AND_CALLS = {"GET of a post": (16, 43), "POST of a post": (19, 48), "POST of an order": (19, 55)}


@pytest.mark.django_db
def test_a_request_is_carried_out_by_few_functions_in_few_files():
    for name, walk in traced().items():
        files, calls = MAX_MOVES_AND_CALLS[name]
        steps = "\n".join(f"{file}: {function}" for file, function in walk.seen)
        assert moves(walk.seen) <= files, steps
        assert len(walk.seen) <= calls, steps
