"""What a refusal has to be: one sentence."""

import contextlib
import re

import pytest

from skt_tf.utils.errors import UserError


def is_one_sentence(text):
    """Whether `text` is one line, has no second sentence, and does not quote Python's errors."""
    foreign = r"Traceback|\w(Error|Exception)\b|ERROR|Errno|invalid literal|could not convert|\('"
    return (
        bool(text.strip())
        and len(text.strip().splitlines()) == 1
        and not re.search(r"[.!?]\s+[A-Z]", text)
        and not re.search(foreign, text)
    )


@contextlib.contextmanager
def refused(match=None, *parts):
    """Asserts that the block ends with a `UserError` of one sentence; yields what pytest does.

    Args:
        match: a regular expression that is found in it.
        parts: texts that it has.
    """
    with pytest.raises(UserError, match=match) as refusal:
        yield refusal
    sentence = str(refusal.value)
    assert is_one_sentence(sentence), sentence
    for part in parts:
        assert part in sentence
