"""Which tests a mistake is shown to."""

from tests.mutation.baseline import Baseline

MANY = [f"test {number}" for number in range(5)]
KNOWN = Baseline(
    seconds=dict(quick=0.1, slow=2.0, other=1.0, failing=0.1) | dict.fromkeys(MANY, 3.0),
    covers={
        "a/b/code.py": {1: ["quick"], 4: ["slow", "quick", "failing"], 5: ["slow"]},
        "a/b/table.py": {1: ["slow"], 2: []},
        "a/far.py": {1: [], 3: ["other", *MANY]},
        "c.py": {1: [], 3: MANY},
    },
    failing=["failing"],
)


def test_a_line_is_shown_to_those_who_run_it_quick_ones_first():
    assert KNOWN.tests_of("a/b/code.py", 4, 5) == ["quick", "slow"]
    assert KNOWN.tests_of("a/b/code.py", 5, 9) == ["slow"]


def test_a_line_that_nobody_runs_has_no_test():
    assert KNOWN.tests_of("a/b/code.py", 6, 9) == KNOWN.tests_of("a/none.py", 1, 9) == []


def test_what_runs_at_import_is_shown_to_those_of_its_file_or_around_it():
    assert KNOWN.tests_of("c.py", 1, 1, at_import=True) == MANY
    assert KNOWN.tests_of("a/b/table.py", 2, 2, at_import=True) == ["quick", "other", "slow", *MANY]


def test_what_runs_at_import_is_shown_to_those_who_import_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    imports = ("from a.b.table import ROWS\n", "import a.b.tables\n", "text = 'a.b.table'\n")
    tests = [f"test_{number}.py" for number in range(3)]
    for file, text in zip(tests, imports, strict=True):
        (tmp_path / file).write_text(text)
    seconds = {f"{file}::test": 1.0 for file in tests} | dict.fromkeys(MANY, 2.0)
    known = Baseline(seconds=seconds, covers={"a/b/table.py": {1: MANY}})
    assert known.tests_of("a/b/table.py", 1, 1, at_import=True) == ["test_0.py::test", *MANY]
