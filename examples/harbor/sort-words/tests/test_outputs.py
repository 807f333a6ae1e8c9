from pathlib import Path

FOUND = Path("/app/sorted.txt")


def test_the_file_is_there():
    assert FOUND.is_file()


def test_the_words_are_sorted():
    assert FOUND.read_text().split("\n") == ["apple", "fig", "pear", "plum", "quince", ""]
