#!/usr/bin/env python3
"""Cuts the published OCSF schema down to what Portcullis's records are checked against.

    trim.py EXPORT > schema-1.6.0.json

EXPORT is the schema as schema.ocsf.io exports it; the package ocsf-json-schema carries one file per release
(ocsf_json_schema/ocsf/1.6.0.json). Kept are the classes that records use and every object that they can reach; dropped are
descriptions, references and whatever else says nothing about what is valid.
"""
import json
import sys

CLASSES = [
    "account_change", "application_lifecycle", "authentication", "authorize_session", "detection_finding",
    "entity_management", "http_activity", "network_activity",
]


def attribute(given):
    kept = {"type": given["type"], "requirement": given["requirement"]}
    for key in ("object_type", "is_array", "sibling"):
        if given.get(key):
            kept[key] = given[key]
    profiles = given.get("profiles") or ([given["profile"]] if given.get("profile") else [])
    if profiles:
        kept["profiles"] = profiles
    if given.get("enum"):
        kept["enum"] = {value: entry["caption"] for value, entry in sorted(given["enum"].items())}
    if "@deprecated" in given:
        kept["deprecated"] = True
    return kept


def entity(given):
    kept = {"caption": given["caption"], "attributes": {name: attribute(a) for name, a in sorted(given["attributes"].items())}}
    for key in ("uid", "constraints", "profiles"):
        if given.get(key):
            kept[key] = given[key]
    return kept


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        export = json.load(file)
    classes = {name: entity(export["classes"][name]) for name in CLASSES}
    objects, todo = {}, [classes[name] for name in CLASSES]
    while todo:
        for given in todo.pop()["attributes"].values():
            name = given.get("object_type")
            if given["type"] == "object_t" and name not in objects:
                objects[name] = entity(export["objects"][name])
                todo.append(objects[name])
    keep = ("type", "regex", "range", "max_len", "values")
    types = {name: {key: given[key] for key in keep if key in given} for name, given in sorted(export["types"].items())}
    out = {"version": export["version"], "types": types, "classes": classes, "objects": dict(sorted(objects.items()))}
    json.dump(out, sys.stdout, separators=(",", ":"), sort_keys=True)
    print()


main()
