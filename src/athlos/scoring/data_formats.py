"""Data that a model wrote as JSON, YAML, XML, TOML or CSV: parsing it and checking it by a schema.

The semantics are those of NeMo Gym's ``structured_outputs`` verifier. The schema checks need the
extra ``structured`` (openapi-schema-validator, xmltodict).
"""

import csv
import io
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from athlos.scoring.json_text import parse_json

__all__ = [
    "DataFormat",
    "coerce_cells",
    "coerce_elements",
    "parse_data",
    "schema_error",
    "strict_schema",
]

DataFormat = Literal["json", "yaml", "xml", "toml", "csv"]

# what stands under these describes alternatives and parts, which may leave properties open
_ALTERNATIVES = frozenset({"if", "then", "else", "oneOf", "anyOf", "allOf", "$defs", "definitions"})
_TRUTH = {"true": True, "1": True, "false": False, "0": False}


def parse_data(text: str, data_format: DataFormat) -> Any:
    """What a text says in a format, all of it: no fences, nothing before or after.

    XML becomes a dict by xmltodict: all leaves are strings. CSV becomes a list of rows, dicts by
    the first line.

    Raises:
        ValueError: The text does not say anything in this format, or the format is none of these.
        ImportError: xmltodict is not installed.
    """
    try:
        match data_format:
            case "json":
                return parse_json(text)
            case "yaml":
                import yaml

                return yaml.safe_load(text)
            case "xml":
                import xmltodict

                return xmltodict.parse(text)
            case "toml":
                return tomllib.loads(text)
            case "csv":
                return list(csv.DictReader(io.StringIO(text)))
    except ImportError:
        raise
    except Exception as error:  # each parser has errors of its own
        raise ValueError(f"{type(error).__name__}: {error}") from error
    known = ", ".join(get_args(DataFormat))
    raise ValueError(f"format: found {data_format!r}, expected one of {known}")


def strict_schema(schema: Any) -> Any:
    """A copy in which objects have exactly the properties that are described.

    Each object with `properties` requires all of them and allows no others; below `oneOf`,
    `anyOf`, `allOf`, `if`, `$defs` and the like the schema stays as it is.
    """
    if isinstance(schema, list):
        return [strict_schema(item) if isinstance(item, dict) else item for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {
        name: value if name in _ALTERNATIVES else strict_schema(value)
        for name, value in schema.items()
    }
    if "properties" in schema:
        made |= {"required": list(schema["properties"]), "additionalProperties": False}
    return made


def schema_error(value: Any, schema: Mapping[str, Any]) -> str:
    """Why a value is not what a schema describes (OpenAPI 3.1), or "".

    Raises:
        ImportError: openapi-schema-validator is not installed.
    """
    from openapi_schema_validator import OAS31Validator, validate

    try:
        validate(value, schema, cls=OAS31Validator)
    except Exception as error:  # noqa: BLE001 - a schema may be anything, with patterns in it
        return f"{type(error).__name__}: {error}"
    return ""


def coerce_elements(value: Any, schema: Any, root: Any = None) -> Any:
    """Parsed XML with its strings as the schema has them: numbers, truth values, lists.

    At the place of a list, one element is a list of one, and an element that only holds others of
    one name is the list of these. An empty element is "" where a string is expected. What cannot be
    read stays a string, for the check to find.
    """
    root = schema if root is None else root
    schema = _resolved(schema, root)
    for alternatives in (schema.get("oneOf"), schema.get("anyOf")):
        if alternatives:
            return _coerce_alternative(value, alternatives, root)
    kind = _kind(schema.get("type"))
    if kind == "object" and isinstance(value, dict):
        properties = schema.get("properties") or {}
        return {
            name: coerce_elements(item, properties[name], root) if name in properties else item
            for name, item in value.items()
        }
    if kind == "array" and not (value is None and isinstance(schema["type"], list)):
        if isinstance(value, dict) and len(value) == 1:
            (value,) = value.values()
        items = value if isinstance(value, list) else [] if value is None else [value]
        return [coerce_elements(item, schema.get("items") or {}, root) for item in items]
    if value is None and schema.get("type") == "string":
        return ""
    return _coerced(value, kind) if isinstance(value, str) else value


def _coerce_alternative(value: Any, alternatives: Sequence[Any], root: Any) -> Any:
    for alternative in alternatives:
        coerced = coerce_elements(value, alternative, root)
        if not schema_error(coerced, _resolved(alternative, root)):
            return coerced
    return coerce_elements(value, alternatives[0], root)


def _resolved(schema: Any, root: Any, depth: int = 0) -> dict[str, Any]:
    """The schema that a reference points to, parts of `allOf` merged."""
    if not isinstance(schema, dict) or depth > 50:
        return {}
    if "$ref" in schema:
        target = root
        for name in str(schema["$ref"]).removeprefix("#/").split("/"):
            target = target.get(name, {}) if isinstance(target, dict) else {}
        return _resolved(target, root, depth + 1)
    if "allOf" not in schema:
        return schema
    merged: dict[str, Any] = {}
    for part in schema["allOf"]:
        for name, value in _resolved(part, root, depth + 1).items():
            both = name == "properties" and name in merged
            merged[name] = {**merged[name], **value} if both else value
    return merged


def _kind(declared: Any) -> str:
    """The one type that is declared beside null, or ""."""
    names = declared if isinstance(declared, list) else [declared]
    others = [name for name in names if isinstance(name, str) and name != "null"]
    return others[0] if len(others) == 1 else ""


def coerce_cells(rows: Sequence[Mapping[Any, Any]], schema: Any) -> list[dict[Any, Any]]:
    """Rows of CSV with their cells as the schema has them: numbers, truth values, null.

    Of several types the first that the cell can be read as counts; an empty cell is null where
    null is one of them.
    """
    items = schema.get("items", schema) if isinstance(schema, dict) else {}
    properties = items.get("properties", {}) if isinstance(items, dict) else {}
    return [
        {
            name: _cell(value, properties.get(name, {}).get("type", "string"))
            for name, value in row.items()
        }
        for row in rows
    ]


def _cell(value: Any, declared: Any) -> Any:
    if not isinstance(declared, list):
        return _coerced(value, declared) if isinstance(value, str) and value else value
    if "null" in declared and value in (None, ""):
        return None
    for kind in declared:
        coerced = _cell(value, kind) if kind != "null" else value
        if kind == "string" or not isinstance(coerced, str):
            return coerced
    return value


def _coerced(text: str, kind: Any) -> Any:
    try:
        if kind == "integer":
            return int(text)
        if kind == "number":
            return float(text)
    except ValueError:
        return text
    return _TRUTH.get(text.lower(), text) if kind == "boolean" else text
