"""Every code block of the README runs, in order, as one session."""

import re
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_python_blocks_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) >= 3
    session: dict = {}
    for block in blocks:
        if "skops" in block and not find_spec("skops"):
            continue
        exec(compile(block, "README.md", "exec"), session)
    assert session["X_clean"].shape == (297, 64)


def test_parameters_are_those_of_the_estimators():
    from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer

    section = README.split("## Parameters")[1].split("##")[0]
    rows = [line.split("|")[1:3] for line in section.splitlines() if line.startswith("| `")]
    defaults = {}
    for names, values in rows:
        names = re.findall(r"`(\w+)`", names)
        values = re.findall(r'"\w+"|\([^)]*\)|[^,\s][^,]*', values.strip())
        assert len(names) == len(values), names
        defaults |= {name: eval(value) for name, value in zip(names, values, strict=True)}
    plain = AutoencoderTransformer().get_params()
    denoising = DenoisingAutoencoderTransformer().get_params()
    assert defaults == denoising
    assert plain.items() <= denoising.items()


def test_files_that_it_names_are_there():
    for path in re.findall(r"\]\(([\w/.]+)\)", README):
        assert (ROOT / path).exists(), path
    for target in re.findall(r"^make (\w+)", README, flags=re.MULTILINE):
        assert f"\n{target}:" in (ROOT / "Makefile").read_text(encoding="utf-8")
