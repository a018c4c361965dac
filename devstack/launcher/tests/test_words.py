from pathlib import Path

from devstack import words


def test_words_are_found_with_their_place_and_in_tests_in_names_only(tmp_path: Path):
    (tmp_path / "lockstep" / "tests").mkdir(parents=True)
    (tmp_path / "lockstep" / "a.py").write_text("x = 1\n# Whoever reads this.\n")
    name = "_".join(("test", "nobody", "waits"))
    (tmp_path / "lockstep" / "tests" / "test_b.py").write_text(f"# somebody\ndef {name}(): …\n")
    assert list(words.occurrences(tmp_path)) == [
        "lockstep/a.py:2: # Whoever reads this.",
        f"lockstep/tests/test_b.py:2: def {name}(): …",
    ]
