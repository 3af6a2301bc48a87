"""The README's Python runs as it stands, but for fewer iterations."""

import re

from command_line import ROOT


def test_python_of_the_readme_runs(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)  # As in any folder: nothing of it is read.
    names = {}
    exec(code.replace('"transfer_steps": 60', '"transfer_steps": 3, "evaluations": 1'), names)
    labels = names["student"].predict(names["test"][0], verbose=0).argmax(1)
    hits = (labels == names["data"].test_labels % 2).mean()
    assert hits == names["result"].accuracy > 0.7
    assert (tmp_path / "runs/served/saved_model.pb").is_file()
