import pickle
import sys

import pytest

import athlos
from athlos import ConfigError, Environment, Task, load, reward
from athlos.registry import digest, listing

SOURCE = '''
from athlos import Environment, Task, reward

class {name}(Environment):
    """An environment."""

    @classmethod
    def tasks(cls, config, split):
        yield Task("x")

    @reward
    def r(self, rollout):
        return {value}
'''


def source(name="Game", value="1.0"):
    return SOURCE.format(name=name, value=value)


@pytest.fixture(autouse=True)
def _imports():
    """What a test imports is forgotten after it."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if not name.startswith("athlos.") and "hypothesis" not in name:
            del sys.modules[name]


@pytest.fixture
def game(tmp_path):
    path = tmp_path / "chess_game.py"
    path.write_text(source())
    return path


# -- forms of a reference --------------------------------------------------------------------------


def test_a_class_is_itself():
    class MyGame(Environment):
        @reward
        def r(self, rollout): ...

    assert load(MyGame) is MyGame
    assert MyGame.name == "my_game"


def test_a_class_does_not_take_its_base_class_name():
    class Harder(load("counter")):
        pass

    assert load(Harder).name == "harder"
    assert load("counter").name == "counter"


def test_an_environment_of_the_library():
    assert load("counter").name == "counter"
    assert load("counter") is load("athlos.envs.counter:Counter")


def test_an_alias_is_another_name():
    assert load("math") is load("math_with_judge")
    assert load("math").name == "math_with_judge"


def test_a_file(game, monkeypatch):
    found = load(str(game))
    assert (found.__name__, found.name) == ("Game", "chess_game")
    monkeypatch.chdir(game.parent)
    assert load("./chess_game.py") is found
    assert load("chess_game.py") is found
    assert load("./chess_game.py:Game") is found


def test_a_class_in_a_file_is_named_after_itself(tmp_path):
    path = tmp_path / "several.py"
    path.write_text(source("BigGame") + source("SmallGame"))
    assert load(f"{path}:BigGame").name == "big_game"
    assert load(f"{path}:SmallGame").name == "small_game"
    with pytest.raises(ConfigError, match="has several environments") as raised:
        load(str(path))
    assert f"{path}:BigGame, {path}:SmallGame" in raised.value.hint
    with pytest.raises(ConfigError, match="no environment class 'Game'") as raised:
        load(f"{path}:Game")
    assert raised.value.hint == "It has: BigGame, SmallGame"


def test_a_class_under_two_names_is_one(game):
    game.write_text(source() + "\nAlias = Game\n")
    assert load(str(game)).__name__ == "Game"


def test_an_imported_class_is_not_the_files_own(game):
    game.write_text("from athlos.envs.counter import Counter\n" + source())
    assert load(str(game)).__name__ == "Game"


def test_a_name_of_the_class_wins(game):
    game.write_text(source() + "    name = 'go'\n")
    assert load(str(game)).name == "go"


def test_a_folder_with_relative_imports(tmp_path):
    folder = tmp_path / "my-env"
    folder.mkdir()
    (folder / "__init__.py").write_text("from .rules import VALUE\n" + source(value="VALUE"))
    (folder / "rules.py").write_text("VALUE = 0.5\n")
    found = load(str(folder))
    assert found.name == "my-env"
    assert found(Task("x")).r(None) == 0.5


def test_a_folder_may_define_its_class_in_a_module(tmp_path):
    folder = tmp_path / "packaged"
    folder.mkdir()
    (folder / "__init__.py").write_text("from .game import Game\n")
    (folder / "game.py").write_text(source())
    found = load(str(folder))
    assert (found.__name__, found.name) == ("Game", "packaged")


def test_a_file_may_import_the_one_beside_it(game):
    (game.parent / "chess_rules_beside.py").write_text("VALUE = 0.25\n")
    game.write_text("from chess_rules_beside import VALUE\n" + source(value="VALUE"))
    assert load(str(game))(Task("x")).r(None) == 0.25


def test_two_files_of_one_name_are_two_environments(tmp_path):
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "game.py").write_text(source(value=number))
    one, two = (load(str(tmp_path / str(number) / "game.py")) for number in (1, 2))
    assert [env(Task("x")).r(None) for env in (one, two)] == [1, 2]


@pytest.mark.parametrize("edited", ["__init__.py", "rules.py"])
def test_what_was_edited_is_imported_anew(tmp_path, edited):
    (tmp_path / "__init__.py").write_text("from .rules import VALUE\n" + source(value="VALUE"))
    (tmp_path / "rules.py").write_text("VALUE = 1.0\n")
    before = load(str(tmp_path))
    assert load(str(tmp_path)) is before
    text = (tmp_path / edited).read_text()
    (tmp_path / edited).write_text(
        text.replace("return VALUE", "return 22.0").replace("1.0", "22.0")
    )
    after = load(str(tmp_path))
    assert after is not before
    assert after(Task("x")).r(None) == 22.0


def test_an_instance_of_a_file_pickles(game):
    env = load(str(game))(Task("x"))
    assert pickle.loads(pickle.dumps(env)).task == env.task


@pytest.mark.parametrize("module", ["game_module", "game_package.pytest_games", "a.python.py_env"])
def test_a_class_of_a_module(tmp_path, monkeypatch, module):
    monkeypatch.syspath_prepend(tmp_path)
    *packages, name = module.split(".")
    folder = tmp_path.joinpath(*packages)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(source("TinyGame"))
    assert load(f"{module}:TinyGame").name == "tiny_game"


def test_a_connector_gets_its_argument(monkeypatch):
    asked = []

    class Made(Environment):
        @reward
        def r(self, rollout): ...

    class Fake:
        @staticmethod
        def load(argument):
            asked.append(argument)
            return Made

    monkeypatch.setitem(athlos.registry.CONNECTORS, "elsewhere", "athlos_fake_connector")
    monkeypatch.setitem(sys.modules, "athlos_fake_connector", Fake)
    assert load("elsewhere:a:b") is Made
    assert asked == ["a:b"]


# -- entry points ----------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package with two entry points, of which one is broken."""
    monkeypatch.syspath_prepend(tmp_path)
    info = tmp_path / "chess_pack-2.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: chess-pack\nVersion: 2.5\n")
    (info / "entry_points.txt").write_text(
        "[athlos.environments]\nqueens-gambit = chess_pack:Gambit\nbroken = chess_pack_gone:X\n"
    )
    (tmp_path / "chess_pack.py").write_text(source("Gambit"))


@pytest.mark.usefixtures("package")
def test_an_installed_package_offers_an_environment():
    found = load("queens-gambit")
    assert (found.__name__, found.name, found.version) == ("Gambit", "queens-gambit", "2.5")


@pytest.mark.usefixtures("package")
def test_a_broken_entry_point_names_its_module():
    with pytest.raises(ConfigError, match="needs the module 'chess_pack_gone'"):
        load("broken")


@pytest.mark.usefixtures("package")
def test_the_listing_has_library_connectors_and_packages_and_imports_none():
    entries = {entry.name: entry for entry in listing()}
    assert entries["queens-gambit"].source == "chess-pack"
    assert entries["counter"].summary
    assert entries["math_with_judge"].aliases == ("math",)
    assert entries["reasoning-gym:…"].source == "connector"
    assert "chess_pack" not in sys.modules


# -- mistakes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "hint"),
    [
        ("countr", "Did you mean counter"),
        ("mat", "Did you mean math"),
        ("zzzzzz", "`athlos list` shows all"),
    ],
)
def test_an_unknown_name_is_answered_with_those_close_to_it(reference, hint):
    with pytest.raises(ConfigError, match=f"no environment named '{reference}'") as raised:
        load(reference)
    assert hint in raised.value.hint


@pytest.mark.usefixtures("package")
def test_suggestions_include_installed_packages():
    with pytest.raises(ConfigError) as raised:
        load("queen-gambit")
    assert "queens-gambit" in raised.value.hint


def test_a_forgotten_path_is_suggested(game, monkeypatch):
    monkeypatch.chdir(game.parent)
    with pytest.raises(ConfigError) as raised:
        load("chess_game")
    assert "./chess_game.py" in raised.value.hint


def test_a_mistyped_file_is_suggested(game):
    with pytest.raises(ConfigError, match="no environment file") as raised:
        load(str(game.parent / "ches_game.py"))
    assert str(game) in raised.value.hint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def f(:\n", r"chess_game\.py:1: syntax error: .*def f\(:"),
        ("\n\n1 / 0\n", r"chess_game\.py:3: ZeroDivisionError while loading"),
        ("import nowhere_to_be_found\n", "needs the module 'nowhere_to_be_found'"),
        ("raise SystemExit(3)\n", r"chess_game\.py:1: SystemExit while loading"),
        ("x = 1\n", "has no environment"),
        (
            "from athlos import Environment\nclass E(Environment): ...\n",
            "E has no reward",
        ),
        (
            "from athlos import Environment, tool\n"
            "class E(Environment):\n    @tool\n    def f(self, x): ...\n",
            r"chess_game\.py: tool E\.f: parameter 'x' has no type",
        ),
    ],
)
def test_a_file_that_does_not_load_says_where(game, text, expected):
    game.write_text(text)
    with pytest.raises(ConfigError, match=expected):
        load(str(game))
    game.write_text(source())
    assert load(str(game)).__name__ == "Game"


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("nowhere_at_all:Class", "no module named 'nowhere_at_all'"),
        ("athlos.nowhere:Class", "needs the module 'athlos.nowhere'"),
        ("athlos.envs.counter:Countr", "no environment class 'Countr'"),
        ("athlos.envs.counter:Task", "no environment class 'Task'"),
        ("__main__:Countr", "no environment class 'Countr'"),
        ("not a module:Class", "no environment 'not a module:Class'"),
        ("", "no environment named ''"),
        (":", "no environment ':'"),
        ("./", "has no environment|no environment file"),
    ],
)
def test_other_references_that_lead_nowhere(reference, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=expected):
        load(reference)


# -- digest ----------------------------------------------------------------------------------------


def test_the_digest_of_a_file_follows_its_content(game):
    env = load(str(game))
    before = digest(env)
    assert before == digest(env) != ""
    (game.parent / "other.py").write_text("x = 1\n")
    (game.parent / "README.md").write_text("Words.\n")
    assert digest(env) == before
    game.write_text(source(value="2.0"))
    assert digest(env) != before


@pytest.fixture
def folder_env(tmp_path):
    folder = tmp_path / "my_env"
    (folder / "data").mkdir(parents=True)
    (folder / "__init__.py").write_text(source())
    (folder / "data" / "words.txt").write_text("a b c\n")
    return folder


@pytest.mark.parametrize(
    "name",
    [
        "README.md", "data/NOTES.md", "__pycache__/x.pyc", ".cache/x", ".hidden", "runs/a/run.json",
        "test_it.py",
    ],
)  # fmt: skip
def test_prose_caches_tests_and_runs_do_not_change_the_digest(folder_env, name):
    env = load(str(folder_env))
    before = digest(env)
    (folder_env / name).parent.mkdir(parents=True, exist_ok=True)
    (folder_env / name).write_text("something\n")
    assert digest(env) == before


@pytest.mark.parametrize("name", ["__init__.py", "data/words.txt", "rules.py", "data/more.json"])
def test_code_and_data_of_a_folder_change_the_digest(folder_env, name):
    env = load(str(folder_env))
    before = digest(env)
    (folder_env / name).write_text("something\n")
    assert digest(env) != before


def test_the_digest_knows_names_and_not_only_contents(folder_env):
    env = load(str(folder_env))
    before = digest(env)
    (folder_env / "data" / "words.txt").rename(folder_env / "data" / "other.txt")
    assert digest(env) != before


def test_a_class_without_a_file_has_no_digest():
    made = type("Made", (Environment,), {"__module__": "builtins"})
    assert digest(made) == ""


def test_further_files_and_folders_belong_to_the_digest(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "README.md").write_text("one")
    (tmp_path / "env.py").write_text(source())
    env = load(f"{tmp_path}/env.py")
    alone = digest(env)
    env.digested = (tmp_path / "data",)
    first = digest(env)
    (tmp_path / "data" / "README.md").write_text("two")
    assert len({alone, first, digest(env)}) == 3
