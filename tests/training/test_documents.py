"""The code in docs/bundle-format.md runs as it stands."""

import re

from models_store import open_bundle
from tests.services import ROOT


def test_the_documented_export_makes_a_bundle_that_opens(tmp_path, monkeypatch):
    text = (ROOT / "docs" / "bundle-format.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)

    exec(compile(code, "docs/bundle-format.md", "exec"), {})  # noqa: S102 - our own document

    comparator = open_bundle(tmp_path / "models_store/bundles/mine/1")
    assert comparator.title == "mine@1"
    assert comparator.manifest.distance == "l2"
