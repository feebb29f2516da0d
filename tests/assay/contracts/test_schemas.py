"""The JSON Schema files are what the types say, and say the same about real records."""

from __future__ import annotations

import json

import jsonschema
import pytest

from assay.contracts.schemas import FOLDER, render, schemas
from tests.support.record_examples import EXAMPLES

SCHEMAS = schemas()


@pytest.mark.parametrize("name", SCHEMAS)
def test_file_equals_type(name: str) -> None:
    written = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
    assert written == render(SCHEMAS[name]), "run `python -m assay.contracts`"


def test_no_file_without_a_type() -> None:
    assert {file.stem for file in FOLDER.glob("*.json")} == SCHEMAS.keys()


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_valid_and_stands_alone(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])
    references = {part.split('"')[0] for part in json.dumps(SCHEMAS[name]).split('"$ref": "')[1:]}
    assert all(reference.startswith("#/$defs/") for reference in references)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_schema_accepts_the_example_and_refuses_what_is_missing_or_unknown(kind: str) -> None:
    validator = jsonschema.Draft202012Validator(SCHEMAS[kind])
    example = EXAMPLES[kind]
    validator.validate(example)
    definition = SCHEMAS[kind]["$defs"][SCHEMAS[kind]["$ref"].rpartition("/")[2]]
    for field in definition["required"]:
        with pytest.raises(jsonschema.ValidationError, match=f"'{field}' is a required property"):
            validator.validate({k: v for k, v in example.items() if k != field})
    with pytest.raises(jsonschema.ValidationError, match="Additional properties"):
        validator.validate({**example, "tpyo": 1})
