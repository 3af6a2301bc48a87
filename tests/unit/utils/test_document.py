"""What a report says is what it shows, whatever signs it has."""

from html.parser import HTMLParser

import pytest

from skt_tf.utils.document import Bullets, Heading, Table, Text, page


class Shown(HTMLParser):
    """The words of a page."""

    def __init__(self, text):
        super().__init__()
        self.words = []
        self.feed(text)

    def handle_data(self, data):
        self.words.append(data)


@pytest.mark.parametrize(
    "name",
    [
        "task*0.1+soft*14.4",
        "task+own(kind='a|b')*2",
        r"task+own(kind='a\\b')*2*3",
        "task*0.1+`x*y`*3",
        "at*1000>task+soft*2",
        "skt_bottom_up",
        "<b>*x*</b>",
    ],
)
def test_names_are_shown_as_they_are_typed(name):
    table = Table((name, "%"), ((name, "1"), ("baseline", name)))
    text = page(name, [Heading(name), table, Bullets((f"`methods`: {name}",)), Text("`a*b*c`")])
    body = text[text.index("<h1") :]
    said = name.replace("`", "")
    assert "".join(Shown(body).words).count(said) == 6
    assert "a*b*c" in body
    assert "<em>" not in body
