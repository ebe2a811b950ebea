"""The mutation tool plants what it says, and nothing that no test should notice."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutation.areas import TESTS, source_files
from tests.mutation.operators import mutants_of
from tests.mutation.trial import Place, _Planted

ROOT = Path(__file__).resolve().parents[2]


def planted(source: str) -> set[str]:
    """Every mutant of a source, as source."""
    found = set()
    for number in range(len(mutants_of(ast.parse(source)))):
        tree = ast.parse(source)
        mutants_of(tree)[number].plant()
        found.add(ast.unparse(tree))
    return found


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b", {"pass", "a <= b"}),
        ("return x", {"return None"}),
        ("return None", set()),
        ("y = a + b", {"y = a - b"}),
        ("y = a ** 2", {"y = a * 2", "y = a ** 3", "y = a ** 1"}),
        ("y = a and b", {"y = a or b"}),
        ("y = -x", {"y = x"}),
        ("y = True", {"y = False"}),
        ("y = 0.5", {"y = 1.5", "y = 1.0"}),
        ("y = f(a, b)", {"y = f(b, a)"}),
        ("y = f(a, a)", set()),
        ("y = max(a, b)", set()),
        ("y = f(a, eps=b)", {"y = f(a)"}),
        ("y = dict(type=a)", set()),
        ("self.x = y", {"pass"}),
        ("x += y", {"pass"}),
        ("y = a if b else c", {"y = c if b else a"}),
        ("raise Error(f'{a + 1} is wrong')", {"pass"}),
        ("print_log(a + b)", set()),
        ("'a text'", set()),
        ("y = 'a' + b", set()),
        ("y = zip(a, b, strict=True)", {"y = zip(b, a, strict=True)"}),
    ],
)
def test_what_is_planted(source, expected):
    assert planted(source) == {code.strip() for code in expected}


def test_annotations_and_decorators_stay():
    source = "@register(1)\ndef f(a: Literal[1]=b) -> tuple[1]:\n    x: list[2] = c\n    go()"
    assert planted(source) == {source.replace("go()", "pass")}


def test_a_mutant_knows_whose_tests_should_notice_it():
    source = "A = 1\n\ndef f(a=2):\n    b = 3\n    return b\n\nclass C:\n    d = 4"
    places = {mutant.line: (mutant.scope, mutant.body) for mutant in mutants_of(ast.parse(source))}
    assert places[3] == places[4] == ("f", (4, 5))
    assert places[1][1][0] == 1 and places[1][1][1] > 8
    assert places[8] == ("C", places[1][1])


def test_a_planted_module_is_what_is_imported():
    number = next(
        number
        for number, mutant in enumerate(mutants_of(ast.parse((ROOT / FILE).read_text())))
        if mutant.scope == "cosine_momentum" and mutant.kind == "return"
    )
    code = (
        "import sys; from tests.mutation.trial import Place, _Planted; "
        f"sys.meta_path.insert(0, _Planted(Place({FILE!r}, {number}))); "
        "from maskssl.schedules import cosine_momentum; print(cosine_momentum(0.5))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "None\n", done.stderr
    assert _Planted(Place("maskssl/models/__init__.py", 0)).name == "maskssl.models"


FILE = "maskssl/schedules.py"


def test_its_files_are_there():
    assert len(source_files(ROOT)) > 40
    assert all((ROOT / test).exists() for test in TESTS)
