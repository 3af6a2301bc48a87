"""What a benchmark is compared with."""

import pytest
from sentences import refused

from skt_tf.benchmarks import benchmark
from skt_tf.configuration import Config


@pytest.mark.parametrize("content", [None, "[]", '{"stages": 3}', "{"])
def test_what_is_no_benchmark_cannot_be_compared_with(content, tmp_path):
    other = tmp_path / "other.json"
    if content is not None:
        other.write_text(content)
    config = Config(job="benchmark", compare=str(other), output_dir=str(tmp_path / "new"))
    with refused("^--compare=.*other.json .*benchmark.json"):
        benchmark.run(config)
    assert not (tmp_path / "new").exists()
