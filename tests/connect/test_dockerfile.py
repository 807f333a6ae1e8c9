"""Which Dockerfiles need no image, and what they do."""

import pytest

from athlos.connect.dockerfile import Copy, Run, Unfit, read


@pytest.fixture
def context(tmp_path):
    (tmp_path / "logs").mkdir()
    for name in ("a.py", "b.py", "logs/one.log", "logs/two.log"):
        (tmp_path / name).write_text(name)
    return tmp_path


def copied(text, context):
    (step,) = read(f"FROM python:3.12\nWORKDIR /app\n{text}", context).steps
    return {place: file.name for place, file in step.files.items()}


@pytest.mark.parametrize(
    ("line", "files"),
    [
        ("COPY a.py .", {"/app/a.py": "a.py"}),
        ("COPY a.py /app", {"/app/a.py": "a.py"}),
        ("COPY a.py c.py", {"/app/c.py": "a.py"}),
        ("COPY a.py /data/", {"/data/a.py": "a.py"}),
        ("COPY a.py b.py ./src", {"/app/src/a.py": "a.py", "/app/src/b.py": "b.py"}),
        ("COPY *.py ./", {"/app/a.py": "a.py", "/app/b.py": "b.py"}),
        ("COPY logs /l", {"/l/one.log": "one.log", "/l/two.log": "two.log"}),
        ('COPY ["a.py", "c d.py"]', {"/app/c d.py": "a.py"}),
        ("COPY --chown=me:me --chmod=755 a.py .", {"/app/a.py": "a.py"}),
        ("ADD a.py .", {"/app/a.py": "a.py"}),
        ("COPY \\\n  a.py \\\n  # a remark\n  .", {"/app/a.py": "a.py"}),
    ],
)
def test_files_are_copied_to_where_the_format_says(line, files, context):
    assert copied(line, context) == files


def test_variables_folders_and_simple_programs(context):
    recipe = read(
        "ARG V=1\nFROM debian:bookworm-slim\nENV A=x B=\"y $V\"\nENV C $A z\nWORKDIR /app\n"
        "WORKDIR src\nRUN mkdir -p /data/in && touch /data/in/f\nCMD [\"bash\"]\nUSER me",
        context,
    )  # fmt: skip
    assert recipe.env == {"A": "x", "B": "y 1", "C": "x z"}
    assert (recipe.workdir, recipe.folders) == ("/app/src", ["/app", "/app/src"])
    assert recipe.steps == [
        Run(["mkdir", "-p", "/data/in"], "/app/src"),
        Run(["touch", "/data/in/f"], "/app/src"),
    ]
    assert set(recipe.paths()) == {"/app", "/app/src", "/data/in", "/data/in/f"}


def test_the_mode_of_copied_files(context):
    (step,) = read("FROM ubuntu:24.04\nCOPY --chmod=0750 a.py /app/", context).steps
    assert isinstance(step, Copy)
    assert step.mode == 0o750


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("FROM node:20", "line 1: FROM node:20"),
        ("FROM python:3.12 AS a\nFROM debian", "line 2: a second FROM"),
        ("FROM python-evil:1", "FROM python-evil:1"),
        ("FROM debian\nRUN apt-get update", "line 2: RUN apt-get update"),
        ("FROM debian\nRUN mkdir /a && pip install x", "RUN pip install x"),
        ("FROM debian\nRUN mkdir $(curl x)", "RUN mkdir"),
        ("FROM debian\nRUN touch /a & sleep 9", "RUN touch"),
        ('FROM debian\nRUN ["touch", "/a"]', "RUN"),
        ("FROM debian\nRUN touch /etc/x", "the folder /etc/x of the system"),
        ("FROM debian\nCOPY a.py /usr/bin/", "of the system"),
        ("FROM debian\nCOPY a.py /app/../etc/x", "of the system"),
        ("FROM debian\nCOPY --from=x a.py /app/", "COPY --from=x"),
        ("FROM debian\nCOPY ../secret /app/", "outside the folder"),
        ("FROM debian\nCOPY nothing /app/", "there is no nothing"),
        ("FROM debian\nCOPY <<EOF /app/x", "COPY <<EOF"),
        ("FROM debian\nADD https://example.org/x /app/", "ADD https"),
        ("FROM debian\nENV P=$PATH:/x", "the variable PATH of the image"),
        ("FROM debian\nSHELL [\"bash\"]", "SHELL"),
        ("FROM debian\nENV", "ENV cannot be read"),
        ("WORKDIR /app", "no FROM"),
        ("# escape=`\nFROM debian", "escape"),
    ],
)  # fmt: skip
def test_what_needs_an_image_is_named_with_its_line(text, said, context):
    with pytest.raises(Unfit) as caught:
        read(text, context)
    assert said in str(caught.value)


def test_a_link_out_of_the_folder_is_not_copied(context):
    (context / "link").symlink_to("/etc/hostname")
    with pytest.raises(Unfit, match="a link out of the folder"):
        read("FROM debian\nCOPY link /app/", context)
