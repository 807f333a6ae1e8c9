"""Texts of a form: data by a schema or with paths, lines, citations."""

import json

from tests.serve.rules.asking import Case, call, say, think

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
}
NESTED = {"type": "object", "properties": {"owner": {
    "type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
}}}  # fmt: skip
NUMBERS = {"type": "object", "properties": {"r": {"type": "object", "properties": {
    "x": {"type": "number"}, "y": {"type": "boolean"},
}}}}  # fmt: skip
ROOT = {"type": "object", "properties": {"p": PERSON}}
TABLE = {"type": "array", "items": {"type": "object", "properties": {
    "n": {"type": "integer"}, "t": {"type": ["string", "null"]}, "f": {"type": "number"},
}}}  # fmt: skip
ADA = '{"name": "Ada", "age": 36, "tags": ["x"]}'


def data(rule, schema, kind, answer, reward, error=None, **more):
    schema = schema if isinstance(schema, str) else json.dumps(schema)
    fields = {"schema_str": schema, "schema_type": kind, "problem_type": "x", "num_turns": 1,
              **more.pop("fields", {})}  # fmt: skip
    also = {"error_type": error} if error else {}
    return Case(rule, fields, answer, reward, also=also, **more)


def in_call(rule, answer, reward, error=None, **fields):
    return data(rule, PERSON, "json", answer, reward, error, tools=("save", "other"),
                fields={"response_mode": "tool_call", **fields})  # fmt: skip


XML = "<p><name>Ada</name><age>36</age><tags><tag>x</tag><tag>y</tag></tags></p>"
STRUCTURED = [
    data("data that fits", PERSON, "json", ADA, 1),
    Case(
        "text is the default mode",
        {"schema_str": json.dumps(PERSON), "schema_type": "json", "response_mode": "text"},
        ADA,
        1,
    ),
    data(
        "a property is missing", PERSON, "json", '{"name": "Ada", "age": 36}', 0, "validation_error"
    ),
    data("a property too many", PERSON, "json", ADA[:-1] + ', "x": 1}', 0, "validation_error"),
    data(
        "properties of objects inside are required as well",
        NESTED,
        "json",
        '{"owner": {"a": "x"}}',
        0,
        "validation_error",
    ),
    data(
        "and no others",
        NESTED,
        "json",
        '{"owner": {"a": "x", "b": "y", "c": "z"}}',
        0,
        "validation_error",
    ),
    data("objects inside that fit", NESTED, "json", '{"owner": {"a": "x", "b": "y"}}', 1),
    data("another type", PERSON, "json", ADA.replace("36", '"36"'), 0, "validation_error"),
    data("a fence is not taken off", PERSON, "json", f"```json\n{ADA}\n```", 0, "parse_error"),
    data("words before it", PERSON, "json", f"Here: {ADA}", 0, "parse_error"),
    data("all messages are one text", PERSON, "json", [ADA[:9], ADA[9:]], 1),
    data("all blocks are one text", PERSON, "json", say(ADA[:9], ADA[9:]), 1),
    data("reasoning is not read", PERSON, "json", [think("hm"), ADA], 1),
    data("nothing said", PERSON, "json", [think(ADA)], 0, "empty_response"),
    data("a schema that is none", "{", "json", ADA, 0, "schema_error"),
    data("YAML", PERSON, "yaml", "name: Ada\nage: 36\ntags: [x]\n", 1),
    data(
        "YAML with another type",
        PERSON,
        "yaml",
        "name: Ada\nage: old\ntags: [x]\n",
        0,
        "validation_error",
    ),
    data("TOML", PERSON, "toml", 'name = "Ada"\nage = 36\ntags = ["x"]\n', 1),
    data("TOML that does not parse", PERSON, "toml", "name = Ada", 0, "parse_error"),
    data("XML: leaves become what the schema says", ROOT, "xml", XML, 1),
    data(
        "XML: a whole number must be one",
        ROOT,
        "xml",
        XML.replace("36", "old"),
        0,
        "validation_error",
    ),
    data("XML: one element where a list belongs", ROOT, "xml", XML.replace("<tag>y</tag>", ""), 1),
    data("XML: an empty string", ROOT, "xml", XML.replace("Ada", ""), 1),
    data("XML: nothing is no number", ROOT, "xml", XML.replace("36", ""), 0, "validation_error"),
    data("XML: floats and truth", NUMBERS, "xml", "<r><x>1.5</x><y>true</y></r>", 1),
    data("XML that does not parse", ROOT, "xml", "<p>", 0, "parse_error"),
    data("CSV: cells become what the columns say", TABLE, "csv", "n,t,f\n1,a,0.5\n2,b,3\n", 1),
    data("CSV: an empty cell is null where that is allowed", TABLE, "csv", "n,t,f\n1,,0.5\n", 1),
    data("CSV: and nothing else", TABLE, "csv", "n,t,f\n,a,0.5\n", 0, "validation_error"),
    data("CSV: a cell of another type", TABLE, "csv", "n,t,f\nx,a,0.5\n", 0, "validation_error"),
    in_call("the arguments of a call", call("save", ADA), 1),
    in_call("text beside it does not matter", ["Here it is.", call("save", ADA)], 1),
    in_call("text in place of it", ADA, 0, "missing_tool_call"),
    in_call("two calls", [call("save", ADA), call("save", ADA, 1)], 0, "multiple_tool_calls"),
    in_call("the tool expected", call("save", ADA), 1, tool_name="save"),
    in_call("another tool", call("other", ADA), 0, "wrong_tool_name", tool_name="save"),
    in_call("arguments that do not parse", call("save", "{"), 0, "tool_arguments_parse_error"),
    in_call(
        "what stands under a key",
        call("save", {"data": json.loads(ADA)}),
        1,
        tool_payload_key="data",
    ),
    in_call(
        "the key is missing",
        call("save", ADA),
        0,
        "missing_tool_payload_key",
        tool_payload_key="data",
    ),
    in_call("arguments that do not fit", call("save", {"name": "Ada"}), 0, "validation_error"),
]


def paths(rule, kind, wanted, answer, reward, **more):
    fields = {"output_type": kind, "raw_output_metric": wanted}
    return Case(rule, fields, answer, reward, **more)


JSON = '{"a": {"b": [{"x": 1}, {"c": 2}]}, "d.e": 3}'
STRUCTEVAL = [
    paths("all paths", "json", ["a.b", "a"], f"```json\n{JSON}\n```", 1),
    paths("half of them", "json", ["a", "z"], f"```json\n{JSON}\n```", 0.6),
    paths("a third, in two decimals", "json", ["a", "y", "z"], f"```json\n{JSON}\n```", 0.47),
    paths("none, but it parses", "json", ["z"], f"```json\n{JSON}\n```", 0.2),
    paths("it does not parse", "json", ["a"], "```json\n{\n```", 0),
    paths("the last block", "json", ["a"], f"```\n{JSON}\n```\n```\n{{}}x\n```", 0),
    paths("markers in place of a fence", "json", ["a"], f"<|BEGIN_CODE|>\n{JSON}\n<|END_CODE|>", 1),
    paths("without either all of it", "json", ["a"], JSON, 1),
    paths("an index", "json", ["a.b[0].x"], JSON, 1),
    paths("an index too high", "json", ["a.b[2]"], JSON, 0.2),
    paths("any item", "json", ["a.b.*.c"], JSON, 1),
    paths("a name with a full stop", "json", ["`d.e`"], JSON, 1),
    paths("the same without backticks", "json", ["d.e"], JSON, 0.2),
    paths("YAML", "yaml", ["a.b"], "```yaml\na:\n  b: 1\n```", 1),
    paths("TOML", "toml", ["a.b"], "```toml\n[a]\nb = 1\n```", 1),
    paths("XML", "xml", ["r.a"], "```xml\n<r><a>1</a></r>\n```", 1),
    paths("an attribute", "xml", ["r.@id"], '```xml\n<r id="1"/>\n```', 1),
    paths("a column", "csv", ["csv::N"], "```csv\nN,M\n1,2\n```", 1),
    paths("a column that is not there", "csv", ["csv::K"], "```csv\nN,M\n1,2\n```", 0.2),
]


def lines(rule, answer, reward, least=2, kind="regex"):
    return Case(rule, {"verifier": {"type": kind, "verify_regex": [r"^- ", r"^\d+\. "],
                                    "verify_min_matches": least}}, answer, reward)  # fmt: skip


def markers(rule, answer, reward):
    return Case(rule, {"verifier": {"type": "string_match", "expected_markers": ["[1]", "[2]"],
                                    "patterns": [r"\[\d\]"]}}, answer, reward)  # fmt: skip


FORMATS = [
    lines("enough lines match", "- a\n- b", 1),
    lines("of either pattern", "- a\n1. b", 1),
    lines("more than enough", "- a\n- b\n- c", 1),
    lines("too few", "- a\nb", 0),
    lines("a line counts once", "- - a", 0),
    lines("in running text", "- a\n2. b", 1, kind="inline_prose"),
    lines("in running text, too few", "a", 0, kind="inline_prose"),
    markers("all markers", "a [1] b [2]", 1),
    markers("one is missing", "a [1]", 0),
    markers("one that was not expected", "a [1] [2] [3]", 0),
    markers("one twice is no other", "a [1] [2] [1]", 1),
    Case(
        "details",
        {"verifier": {"type": "regex", "verify_regex": ["^a"], "verify_min_matches": 1}},
        "a",
        1,
        also={"match_details": {"passed": True, "matching_lines": 1, "min_matches": 1}},
    ),
]
IDS = ["citation_1", "citation_2", "citation_3"]
WRITTEN = {
    "cite_xml": "It rains <cite>citation_1</cite>.",
    "ascii_brackets": "It rains [citation_1].",
    "claim_wrap_xml": '<cite index="citation_1">It rains</cite>',
    "fullwidth_brackets": "It rains \u3010citation_1\u3011.",
    "ref_colon": "It rains [ref:citation_1].",
    "double_angle": "It rains <<citation_1>>.",
    "web_brackets": "It rains [web:citation_1].",
    "paren_part": "It rains (citation_1).",
    "markdown_footnote": "It rains [^citation_1].",
    "curly_double": "It rains {{citation_1}}.",
    "angle_pipe": "It rains <ref|citation_1>.",
}


def cites(rule, answer, reward, gate="", grammar="ascii_brackets", **more):
    tools = more.pop("tools", ())
    verifier = {"type": "citation_if", "mode": "cite", "grammar": grammar,
                "id_regex": "citation_[0-9]+", "valid_id_set": IDS, "expected_ids": ["citation_1"],
                **more}  # fmt: skip
    return Case(rule, {"verifier": verifier}, answer, reward, also={"gate_failed": gate},
                tools=tools)  # fmt: skip


ONE = "It rains [citation_1]."
CITATIONS = [
    *[cites(f"the form {name}", text, 1, grammar=name) for name, text in WRITTEN.items()],
    *[
        cites(
            f"another form than {name}",
            "It rains /citation_1/.",
            0,
            "malformed_attempt",
            grammar=name,
        )
        for name in WRITTEN
    ],
    cites("a tool call", [ONE, call("find")], 0, "structural", tools=("find",)),
    cites("nothing but a citation", "[citation_1]", 0, "no_answer"),
    cites(
        "the text of a claim is an answer",
        '<cite index="citation_1">rain</cite>',
        1,
        grammar="claim_wrap_xml",
    ),
    cites("an id outside of a citation", f"{ONE} See citation_2.", 0, "malformed_attempt"),
    cites(
        "a tag that is not closed",
        "Rain <cite>citation_1</cite> and <cite>",
        0,
        "malformed_attempt",
        grammar="cite_xml",
    ),
    cites(
        "a tag that was not opened",
        "Rain <cite>citation_1</cite> and </cite>",
        0,
        "malformed_attempt",
        grammar="cite_xml",
    ),
    cites("no citation", "It rains.", 0, "must_cite"),
    cites("too few", ONE, 0, "must_cite", min_valid_citations=2),
    cites("a source that does not exist", f"{ONE} [citation_9]", 0, "no_hallucination"),
    cites("an expected one is missing", "It rains [citation_2].", 0, "correctness_missed_gold"),
    cites("one more than expected is allowed", f"{ONE} [citation_2]", 1),
    cites("two more are not", f"{ONE} [citation_2] [citation_3]", 0, "correctness_over_cap"),
    cites("no slack", f"{ONE} [citation_2]", 0, "correctness_over_cap", expected_slack=0),
    cites("nothing is expected in particular", "It rains [citation_2].", 1, expected_ids=None),
    cites("no citation, and none is wanted", "It rains.", 1, mode="no_cite"),
    cites("a citation where none is wanted", ONE, 0, "no_cite", mode="no_cite"),
    cites("an id where none is wanted", "citation_1 says so.", 0, "no_cite", mode="no_cite"),
    cites(
        "a tag where none is wanted",
        "Rain <cite>",
        0,
        "no_cite",
        grammar="cite_xml",
        mode="no_cite",
    ),
    cites("no text", [think(ONE)], 0, "structural"),
]

CASES = {
    "structured_outputs": STRUCTURED,
    "structeval": STRUCTEVAL,
    "format_verification": FORMATS,
    "citation_if": CITATIONS,
}
