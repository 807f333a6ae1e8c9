"""NeMo Gym's configuration files: every directive, against values from OmegaConf and its rules."""

import pytest

from athlos import ConfigError
from athlos.cli.yaml_text import read_yaml
from athlos.connect.nemo_gym_yaml import leaves, load_gym_yaml

MAIN = r"""
config_paths: [b.yaml, c.yaml]
top: 1
base:
  resources_servers:
    impl: {entrypoint: app.py, domain: agent, keep: 1, gone: 2, nested: {x: 1, y: [1, 2]}}
moved:
  _inherit_from: base
  resources_servers: {impl: {keep: 9, limit: "${port}"}}
copied:
  resources_servers:
    impl:
      _copy: tmpl.inner
      _delete_key: "gone, also"
      domain: math
short: ${copy:tmpl.inner}
short2: ${inherit_from:popme.a}
port: 12
rel: {a: 5, b: "${.a}", c: {d: "${..a}-${rel.b}"}}
url: "http://${host}:${port}/v${oc.env:ATHLOS_NO_SUCH,7}"
env: ${oc.env:ATHLOS_TEST_VALUE}
envn: ${oc.env:ATHLOS_NO_SUCH,null}
lst: [1, "${port}", {z: "${lst[0]}"}]
esc: 'a \${port}'
nest: "${tmpl.${which}.entrypoint}"
which: inner
chain: ${rel.b}
select: ["${oc.select:rel.a,9}", "${oc.select:nowhere,${oc.env:ATHLOS_NO_SUCH,[a, 1]}}"]
typed: ["${oc.select:no,[1, {a: 1e3}, 'x, y']}", "${oc.select:no,TRUE}", "${oc.select:no}"]
decoded: ${oc.decode:${oc.env:ATHLOS_NO_SUCH,-7}}
noted: ${oc.env:ATHLOS_NO_SUCH,false}
none: "a${envn}"
agent: {responses_api_agents: {simple: {entrypoint: app.py}}}
renamed: {_inherit_from: agent}
front:
  environment_servers:
    legacy_agent:
      entrypoint: app.py
      agent_server: {type: responses_api_agents, name: agent}
policy:
  responses_api_models:
    dummy_model: {entrypoint: app.py, nested: {a: 1}}
    vllm_model: {nested: {b: 2}}
needed: ???
lists: [9]
"""
B = """
config_paths: [c.yaml]
which: outer
host: hb
fromb: b
lists: [1, 2, 3]
tmpl: {inner: {entrypoint: e.py, domain: x, gone: 1, also: 2}}
"""
C = """
host: hc
fromb: c
popme: {a: {q: 1}, b: 2}
"""
ENV = "needed: yes it is\ntop: 2\n"

# What OmegaConf makes of these files with the directives of NeMo Gym.
EXPECTED = {
    "top": 2,
    "moved": {
        "resources_servers": {
            "impl": {
                "entrypoint": "app.py",
                "domain": "agent",
                "keep": 9,
                "gone": 2,
                "nested": {"x": 1, "y": [1, 2]},
                "limit": 12,
            }
        }
    },
    "copied": {"resources_servers": {"impl": {"entrypoint": "e.py", "domain": "math"}}},
    "short": {"entrypoint": "e.py", "domain": "x", "gone": 1, "also": 2},
    "short2": {"q": 1},
    "port": 12,
    "rel": {"a": 5, "b": 5, "c": {"d": "5-5"}},
    "url": "http://hc:12/v7",
    "env": "from outside",
    "envn": None,
    "lst": [1, 12, {"z": 1}],
    "esc": "a ${port}",
    "nest": "e.py",
    "which": "inner",
    "chain": 5,
    "select": [5, "['a', 1]"],
    "typed": [[1, {"a": 1000.0}, "x, y"], True, None],
    "decoded": -7,
    "noted": "False",
    "none": "aNone",
    "renamed": {"responses_api_agents": {"simple": {"entrypoint": "app.py"}}},
    "front": {
        "environment_servers": {
            "legacy_agent": {
                "entrypoint": "app.py",
                "agent_server": {"type": "responses_api_agents", "name": "renamed"},
            }
        }
    },
    "policy": {
        "responses_api_models": {"vllm_model": {"entrypoint": "app.py", "nested": {"a": 1, "b": 2}}}
    },
    "needed": "yes it is",
    "lists": [9],
    "host": "hc",
    "fromb": "c",
    "tmpl": {"inner": {"entrypoint": "e.py", "domain": "x", "gone": 1, "also": 2}},
    "popme": {"b": 2},
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ATHLOS_TEST_VALUE", "from outside")
    monkeypatch.delenv("NEMO_GYM_EXTRA_ROOTS", raising=False)
    return tmp_path


def write(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder / f"{next(iter(files))}.yaml"


def values(folder, main, **files):
    return load_gym_yaml(write(folder, main=main, **files), read_yaml).values


def test_every_directive_gives_the_documented_values(folder):
    made = load_gym_yaml(write(folder, main=MAIN, b=B, c=C, env=ENV), read_yaml)
    assert made.values == EXPECTED
    assert [path.name for path in made.files] == ["b.yaml", "c.yaml", "main.yaml", "env.yaml"]
    assert made.notes == ["c.yaml is included more than once; the first time counts"]


def test_the_values_are_those_of_omegaconf_for_merging_and_interpolation(folder):
    omegaconf = pytest.importorskip("omegaconf", reason="OmegaConf is not installed")
    lower = "a: {b: 1, c: [1, 2], d: '???'}\ne: '${a.b}'\nf: 'x${a.c[1]}y'\n"
    upper = "a: {c: [3], d: 4, b: '???'}\ng: ${a}\nh: '${.e}'\n"
    write(folder, main=f"config_paths: [lower.yaml]\n{upper}", lower=lower)
    merged = omegaconf.OmegaConf.merge(
        *(omegaconf.OmegaConf.create(text) for text in (lower, upper))
    )
    expected = omegaconf.OmegaConf.to_container(merged, resolve=True)
    assert load_gym_yaml(folder / "main.yaml", read_yaml).values == expected


def test_overrides_win_over_everything(folder):
    path = write(folder, main="a: {b: 1, c: 2}", env="a: {b: 3}")
    made = load_gym_yaml(path, read_yaml, overrides={"a.b": 4, "d.e": [5]})
    assert made.values == {"a": {"b": 4, "c": 2}, "d": {"e": [5]}}


def test_a_file_is_looked_up_in_the_folders_that_are_given_first(folder, monkeypatch):
    for name in ("one", "two"):
        (folder / name).mkdir()
        (folder / name / "x.yaml").write_text(f"x: {name}")
    path = write(folder, main="config_paths: [x.yaml]")
    monkeypatch.setenv("NEMO_GYM_EXTRA_ROOTS", str(folder / "two"))
    assert load_gym_yaml(path, read_yaml).values == {"x": "two"}
    assert load_gym_yaml(path, read_yaml, search=[folder / "one"]).values == {"x": "one"}


def test_the_checkout_that_a_file_is_in_is_searched_too(folder):
    server = folder / "gym" / "resources_servers" / "a" / "configs"
    server.mkdir(parents=True)
    (folder / "gym" / "shared.yaml").write_text("x: 1")
    (server / "a.yaml").write_text("config_paths: [shared.yaml]")
    assert load_gym_yaml(server / "a.yaml", read_yaml).values == {"x": 1}


def test_inheritance_may_have_several_steps(folder):
    found = values(
        folder,
        "a: {_inherit_from: b, x: 1}\nb: {_inherit_from: c, y: 2}\nc: {z: 3}\n"
        "d: {inner: {_copy: e.f}}\ne: {f: {g: [{j: {_copy: h}}]}}\nh: {i: 1}\n",
    )
    assert found["a"] == {"x": 1, "y": 2, "z": 3}
    assert "c" not in found
    assert found["d"]["inner"]["g"][0] == {"j": {"i": 1}}


def test_a_key_that_is_deleted_need_not_have_a_value(folder):
    found = values(folder, "a: {_delete_key: x, x: '???', y: 1}")
    assert found == {"a": {"y": 1}}


def test_a_placeholder_model_is_merged_into_the_real_one(folder):
    model = (
        "policy: {responses_api_models: {dummy_model: {entrypoint: app.py, a: 1}, vllm: {a: 2}}}"
    )
    found = values(folder, model)
    assert found["policy"] == {"responses_api_models": {"vllm": {"entrypoint": "app.py", "a": 2}}}


def test_all_missing_values_are_named_at_once(folder):
    with pytest.raises(ConfigError, match=r"3 values are missing: a\.b, c\[1\], d\n") as raised:
        values(folder, "a: {b: '???'}\nc: [1, '???']\nd: ${copy:a.b}\n")
    assert "--set a.b=VALUE" in raised.value.hint
    with pytest.raises(ConfigError, match=r"1 value is missing: d\n"):
        values(folder, "d: '???'")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: ${b}", r"a: \$\{b\} leads nowhere"),
        ("a: ${b}\nb: ${a}", "goes round in circles"),
        ("a: ${oc.env:ATHLOS_NO_SUCH}", "ATHLOS_NO_SUCH is not set"),
        ("a: ${oc.create:1}", "'oc.create' is not supported; oc.env, oc.select, oc.decode are"),
        ("a: ${oc.env:A,1,2}", "oc.env was given 3 arguments"),
        ("a: 'x${b'", "no closing brace"),
        ("a: {_inherit_from: b.c}\nb: {d: {}}", "names 'b.c', and there is no 'c'"),
        ("a: {_copy: a}", "round in circles"),
        ("a: {_copy: b, _delete_key: x}\nb: {}", "names 'x', which is not there"),
        ("config_paths: [gone.yaml]", "names gone.yaml, which is not there"),
        ("config_paths: main.yaml", "must be a list of paths"),
        ("- 1", "must hold keys and values"),
        ("a: [", "not valid YAML"),
        ("s: {resources_servers: {a: {entrypoint: e}, b: {}}}", "must name one implementation"),
        ("s: {resources_servers: {a: {entrypoint: app.py}}}", "has no domain"),
        (
            "s: {resources_servers: {a: {entrypoint: e, domain: x}}, responses_api_models: {}}",
            "of several types",
        ),
    ],
)
def test_a_mistake_is_one_sentence(folder, text, message):
    with pytest.raises(ConfigError, match=message):
        values(folder, text)


def test_what_is_almost_a_server_may_be_let_pass(folder):
    almost = "s: {resources_servers: {a: {entrypoint: app.py}}}"
    path = write(folder, main=f"error_on_almost_servers: false\n{almost}")
    assert "has no domain" in load_gym_yaml(path, read_yaml).notes[0]


def test_what_has_no_entrypoint_is_no_server(folder):
    path = write(folder, main="s: {resources_servers: {a: {domain: math}}}")
    assert load_gym_yaml(path, read_yaml).notes == ["s is no server: it has no entrypoint"]


def test_a_reference_to_no_server_has_a_suggestion(folder):
    text = """
weather: {resources_servers: {w: {entrypoint: app.py, domain: agent}}}
agent:
  responses_api_agents:
    simple_agent:
      entrypoint: app.py
      resources_server: {type: resources_servers, name: wether}
"""
    with pytest.raises(ConfigError, match="'wether', which is not among") as raised:
        values(folder, text)
    assert raised.value.hint == "Did you mean 'weather'?"


def test_leaves_have_dotted_names():
    assert list(leaves({"a": {"b": [1, {"c": 2}], "d": {}}})) == [
        ("a.b[0]", 1),
        ("a.b[1].c", 2),
        ("a.d", {}),
    ]
