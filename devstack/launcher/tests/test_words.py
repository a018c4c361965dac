from pathlib import Path

from devstack import words


def test_a_word_is_found_with_its_place_and_tests_are_left_out(tmp_path: Path):
    (tmp_path / "lockstep" / "tests").mkdir(parents=True)
    (tmp_path / "lockstep" / "a.py").write_text("x = 1\n# Whoever reads this.\n")
    (tmp_path / "lockstep" / "tests" / "b.py").write_text("# somebody\n")
    assert list(words.occurrences(tmp_path)) == ["lockstep/a.py:2: # Whoever reads this."]
