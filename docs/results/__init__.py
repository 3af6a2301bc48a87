"""What measures and draws what the documents say: run as `python -m docs.results.NAME`."""

from skt_tf.utils.quiet import set_variables

set_variables()  # As commands do.
