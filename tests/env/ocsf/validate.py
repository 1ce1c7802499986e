#!/usr/bin/env python3
"""Validates records against the published OCSF schema with programs that nobody here wrote: the package ocsf-json-schema makes
JSON schemas of the schema's own export, and jsonschema judges by them.

    validate.py RECORDS.jsonl

One line is one record. Exit 0: every record is valid.
"""
import json
import sys

from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema


def main():
    with open(sys.argv[1], encoding="utf-8", newline="\n") as file:
        lines = file.read().split("\n")
    records = [json.loads(line) for line in lines if line]
    schemas, validators, faults = {}, {}, 0
    for number, record in enumerate(records, 1):
        version, uid = record["metadata"]["version"], record["class_uid"]
        profiles = tuple(sorted(record["metadata"].get("profiles", [])))
        if (version, uid, profiles) not in validators:
            if version not in schemas:
                schemas[version] = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=version))
            schema = schemas[version].get_class_schema(schemas[version].lookup_class_name_from_uid(uid), list(profiles))
            Draft202012Validator.check_schema(schema)
            validators[version, uid, profiles] = Draft202012Validator(schema)
        for error in validators[version, uid, profiles].iter_errors(record):
            faults += 1
            print(f"record {number} ({uid}): {error.json_path}: {error.message[:300]}", file=sys.stderr)
    classes = sorted({record["class_uid"] for record in records})
    print(f"{len(records)} records of the classes {classes}, {faults} faults")
    sys.exit(1 if faults or not records else 0)


main()
