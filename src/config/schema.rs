//! The JSON schema of the configuration, made of the key tables: what an editor offers is what the reader takes.

use serde_json::{Map, Value, json};

use super::keys::{self, Form, Key, Need};

/// The schema: `portcullis.toml` at the top, a route's file under `$defs/route`.
#[must_use]
pub fn text() -> String {
    let mut main = table(keys::MAIN);
    if let Some(fields) = main.as_object_mut() {
        fields.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        fields.insert("title".to_owned(), json!("portcullis.toml"));
        fields.insert("$defs".to_owned(), json!({ "route": table(keys::ROUTE) }));
    }
    format!("{main:#}\n")
}

fn table(keys: &[Key]) -> Value {
    let properties: Map<String, Value> = keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    let required: Vec<&str> = keys.iter().filter(|key| matches!(key.need, Need::Required(_))).map(|key| key.name).collect();
    json!({ "type": "object", "additionalProperties": false, "properties": properties, "required": required })
}

fn property(key: &Key) -> Value {
    let mut value = form(key.form);
    let Some(fields) = value.as_object_mut() else { return value };
    let meaning = match key.need {
        Need::Required(_) => format!("{} Required.", key.meaning),
        Need::Default(default) => format!("{} Default: {default}.", key.meaning),
        Need::Optional(otherwise) => format!("{} When left out: {otherwise}.", key.meaning),
    };
    fields.insert("description".to_owned(), json!(meaning));
    if let Some(default) = default(key) {
        fields.insert("default".to_owned(), default);
    }
    value
}

fn default(key: &Key) -> Option<Value> {
    let Need::Default(text) = key.need else { return None };
    let table: toml::Table = toml::from_str(&format!("value = {text}")).ok()?;
    serde_json::to_value(table.get("value")?).ok()
}

fn form(form: Form) -> Value {
    let text = json!({ "type": "string", "minLength": 1 });
    match form {
        Form::Text => text,
        Form::Choice(words) => json!({ "enum": words }),
        Form::Duration => json!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$" }),
        Form::Size => json!({ "type": "string", "pattern": "^[0-9]+(B|KiB|MiB|GiB)$" }),
        Form::Count => json!({ "type": "integer", "minimum": 1 }),
        Form::Flag => json!({ "type": "boolean" }),
        Form::Rate => json!({ "anyOf": [{ "type": "string", "pattern": "^[0-9]+/[smh]$" }, table(keys::RATE)] }),
        Form::Texts => json!({ "type": "array", "items": text }),
        Form::Choices(words) => json!({ "type": "array", "items": { "enum": words } }),
        Form::Secret => json!({ "type": "object", "additionalProperties": false, "minProperties": 1, "maxProperties": 1,
            "properties": { "file": { "type": "string" }, "env": { "type": "string" } } }),
        Form::Table(keys) => table(keys),
        Form::Tables(keys) => json!({ "type": "array", "items": table(keys) }),
        Form::Named(keys) => json!({ "type": "object", "additionalProperties": table(keys) }),
    }
}
