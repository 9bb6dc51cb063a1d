"""docs/python.md and README.md: their examples run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from llamad import Results

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "python.md"
BEGINNING = "llamad in Python"
CHECKS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "Many prompts": lambda names: "Paris" in names["results"][0].text and len(names["answers"]) == 2,
    "Results": lambda names: len(names["frame"]) == len(names["results"]),
    "Structured output": lambda names: isinstance(names["review"], names["Review"]),
    "Tools": lambda names: names["asked"].tool_calls[0].name == "add",
    "Scores and perplexity": lambda names: names["score"].logprob < 0,
    "Embeddings and reranking": lambda names: names["vectors"].shape == (3, 384),
}
"""What must be so once the blocks of a section have run."""


def sections(page: Path) -> dict[str, str]:
    """The code of each section, with as many lines before it as tell a traceback where it stands."""
    code: dict[str, str] = {}
    title, in_block = BEGINNING, False
    for number, line in enumerate(page.read_text().splitlines()):
        if in_block and line == "```":
            in_block = False
        elif in_block:
            lines = code.get(title, "")
            code[title] = lines + "\n" * (number - lines.count("\n")) + line + "\n"
        elif line == "```python":
            in_block = True
        elif heading := re.fullmatch(r"## (.+)", line):
            title = heading[1]
    return code


SECTIONS = sections(PAGE)


def run(code: str, names: dict[str, Any], page: Path = PAGE) -> dict[str, Any]:
    names = {"__name__": "guide", **names}
    exec(compile(code, str(page), "exec", dont_inherit=True), names)
    return names


@pytest.fixture(scope="module")
def loaded(named_models: Path) -> Iterator[dict[str, Any]]:
    """The names that the page begins with, and the results that its second section speaks of."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLAMAD_MODEL_DIRECTORY", str(named_models))
        names = run(SECTIONS[BEGINNING], {})
        with names["engine"] as engine:
            names["results"] = engine.generate(["The capital of France is"] * 2, max_tokens=4)
            yield names


def test_every_check_has_its_section() -> None:
    assert CHECKS.keys() <= SECTIONS.keys()


# The section that closes the engine stands last on the page.
@pytest.mark.parametrize("title", [title for title in SECTIONS if title != BEGINNING])
def test_section_runs(title: str, loaded: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    names = run(SECTIONS[title], loaded)
    assert isinstance(names["results"], Results)
    assert CHECKS.get(title, lambda _: True)(names)
    assert "Traceback" not in capsys.readouterr().err


def test_readme_runs(named_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMAD_MODEL_DIRECTORY", str(named_models))
    monkeypatch.chdir(ROOT)
    page = ROOT / "README.md"
    assert "Tokyo" in run(sections(page)["In Python"], {}, page)["answer"].text
