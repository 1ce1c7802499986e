//! Checks a record against the published OCSF schema, as `tests/env/ocsf/trim.py` cut it down: required attributes, types,
//! closed values, constraints, captions beside their numbers, profiles; and nothing that the schema does not know.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// The schema.
pub struct Schema(Value);

impl Schema {
    pub fn load() -> Self {
        let schema = Self(serde_json::from_str(include_str!("../../../tests/env/ocsf/schema-1.6.0.json")).unwrap());
        assert_eq!(schema.0["version"], super::OCSF_VERSION);
        schema
    }

    /// Everything that is wrong with a record.
    pub fn faults(&self, record: &Value) -> Vec<String> {
        let Some(class) = self.0["classes"].as_object().unwrap().values().find(|class| class["uid"] == record["class_uid"]) else {
            return vec![format!("no class {}", record["class_uid"])];
        };
        let declared: BTreeSet<&str> =
            record["metadata"]["profiles"].as_array().into_iter().flatten().map(|profile| profile.as_str().unwrap()).collect();
        let mut check = Check { schema: self, declared: &declared, used: BTreeSet::new(), faults: Vec::new() };
        check.entity("", class, record);
        let Check { used, mut faults, .. } = check;
        for profile in declared.iter().filter(|profile| !used.contains(**profile)) {
            faults.push(format!("profile {profile} is declared and nothing of it is used"));
        }
        if record["type_uid"].as_u64() != Some(record["class_uid"].as_u64().unwrap() * 100 + record["activity_id"].as_u64().unwrap()) {
            faults.push("type_uid is not class and activity".to_owned());
        }
        faults
    }
}

struct Check<'a> {
    schema: &'a Schema,
    declared: &'a BTreeSet<&'a str>,
    used: BTreeSet<&'a str>,
    faults: Vec<String>,
}

impl<'a> Check<'a> {
    fn entity(&mut self, path: &str, entity: &'a Value, value: &Value) {
        let Some(fields) = value.as_object() else { return self.faults.push(format!("{path} is no object")) };
        let attributes = entity["attributes"].as_object().unwrap();
        // OCSF's `object` is open; it is what `unmapped` holds.
        if attributes.is_empty() {
            return;
        }
        for (name, given) in fields {
            match attributes.get(name) {
                None => self.faults.push(format!("{path}/{name} is not an attribute")),
                Some(attribute) => self.attribute(&format!("{path}/{name}"), attribute, given, fields),
            }
        }
        for (name, attribute) in attributes {
            let of_profile = attribute["profiles"].as_array();
            let wanted = of_profile.is_none_or(|profiles| profiles.iter().any(|name| self.declared.contains(name.as_str().unwrap())));
            if attribute["requirement"] == "required" && wanted && !fields.contains_key(name) {
                self.faults.push(format!("{path}/{name} is missing"));
            }
        }
        let count = |of: &Value| of.as_array().unwrap().iter().filter(|name| fields.contains_key(name.as_str().unwrap())).count();
        for (name, of) in entity["constraints"].as_object().into_iter().flatten() {
            let met = if name == "just_one" { count(of) == 1 } else { count(of) >= 1 };
            if !met {
                self.faults.push(format!("{path} does not meet {name} of {of}"));
            }
        }
    }

    fn attribute(&mut self, path: &str, attribute: &'a Value, value: &Value, beside: &Map<String, Value>) {
        if let Some(profiles) = attribute["profiles"].as_array() {
            let names = profiles.iter().map(|name| name.as_str().unwrap());
            let declared: Vec<_> = names.filter(|name| self.declared.contains(name)).collect();
            if declared.is_empty() {
                self.faults.push(format!("{path} needs one of the profiles {profiles:?}"));
            }
            self.used.extend(declared);
        }
        if attribute["deprecated"] == true {
            self.faults.push(format!("{path} is deprecated"));
        }
        match (attribute["is_array"] == true, value.as_array()) {
            (true, Some(items)) => items.iter().for_each(|item| self.value(path, attribute, item)),
            (false, None) => self.value(path, attribute, value),
            _ => self.faults.push(format!("{path} is a list, or should be one")),
        }
        self.closed(path, attribute, value, beside);
    }

    /// Closed values, and the caption that may stand beside one.
    fn closed(&mut self, path: &str, attribute: &Value, value: &Value, beside: &Map<String, Value>) {
        let Some(choices) = attribute["enum"].as_object() else { return };
        let key = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let Some(caption) = choices.get(&key) else { return self.faults.push(format!("{path} is {value}, which is no choice")) };
        let sibling = attribute["sibling"].as_str().and_then(|name| beside.get(name));
        if key != "99" && sibling.is_some_and(|shown| shown != caption) {
            self.faults.push(format!("{path} is {value}, which is called {caption}"));
        }
    }

    fn value(&mut self, path: &str, attribute: &'a Value, value: &Value) {
        let name = attribute["type"].as_str().unwrap();
        if name == "object_t" {
            let object = &self.schema.0["objects"][attribute["object_type"].as_str().unwrap()];
            return self.entity(path, object, value);
        }
        let kind = &self.schema.0["types"][name];
        let base = kind["type"].as_str().unwrap_or(name);
        let good = match base {
            "string_t" => value.is_string(),
            "integer_t" | "long_t" | "timestamp_t" => value.is_u64() || value.is_i64(),
            "float_t" => value.is_number(),
            "boolean_t" => value.is_boolean(),
            "json_t" => true,
            other => panic!("type {other}"),
        };
        let shaped = match name {
            "email_t" => value.as_str().is_some_and(super::is_email),
            "ip_t" => value.as_str().is_some_and(|text| text.parse::<std::net::IpAddr>().is_ok()),
            "port_t" => value.as_u64().is_some_and(|port| port <= 65_535),
            _ => true,
        };
        if !good || !shaped {
            self.faults.push(format!("{path} is {value}, which is no {name}"));
        }
    }
}
