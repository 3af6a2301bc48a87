"""Arguments, whatever they are, are parsed or refused in a sentence."""

import contextlib
import dataclasses
import io
import json

import pytest
from absl import flags
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sentences import is_one_sentence

from skt_tf import main
from skt_tf.configuration import Config
from skt_tf.flags import define_flags, from_flags
from skt_tf.utils.errors import UserError

FIELDS = sorted(field.name for field in dataclasses.fields(Config))
TEXTS = (
    st.text(max_size=20)
    | st.integers().map(str)
    | st.floats().map(str)
    | st.lists(st.floats().map(str), max_size=6).map(",".join)
    | st.sampled_from(["", "true", "skt,kd", "digits", "500", "60s", "-", "--", "=", "9" * 400])
)


@settings(max_examples=300)
@example([("seed", "١٢")])  # Digits, but not ours.
@example([("output_dir", "a\0b")])
@given(st.lists(st.tuples(st.sampled_from(FIELDS), TEXTS), max_size=4))
def test_random_texts_make_a_valid_configuration_or_one_sentence(given_flags):
    arguments = ["skt_tf", *(f"--{name}={text}" for name, text in given_flags)]
    values, said = flags.FlagValues(), io.StringIO()
    define_flags(values)
    config, refusal = None, ""
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(said):
        patch.setattr(flags, "FLAGS", values)
        try:
            main._parse(arguments)
            config = from_flags(values)
        except UserError as error:
            refusal = " ".join(str(error).split())
        except SystemExit as end:
            refusal = said.getvalue() if end.code == 2 else "Traceback"
    if config is None:
        assert is_one_sentence(refusal)
        return
    json.dumps(config.as_dict(), allow_nan=False)
    assert Config(**{name: getattr(config, name) for name in FIELDS}) == config
