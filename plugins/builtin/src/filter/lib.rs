//! The built-in plugin `filter`: keeps or drops records by a condition on key,
//! value and headers.

use varve_sdk::json::{find, number_eq, Found, Json, Path, Token};
use varve_sdk::{Config, Context, Record, Verdict};

/// The code of a record whose value is not JSON where the condition needs it.
const NOT_JSON: u16 = 1;
/// The code of every record if the stage has no parameters.
const NOT_CONFIGURED: u16 = 2;

/// How deep conditions may nest.
const MAX_NESTING: u32 = 16;

static RULE: Config<Rule> = Config::new();

struct Rule {
    keep: bool,
    condition: Condition,
    reject_invalid: bool,
}

enum Condition {
    Any(Vec<Condition>),
    All(Vec<Condition>),
    Not(Box<Condition>),
    Header(String, Test<Vec<u8>>),
    KeyEquals(Vec<u8>),
    KeyPrefix(Vec<u8>),
    ValueContains(Vec<u8>),
    Json(Path, Test<Json>),
}

enum Test<T> {
    Equals(T),
    Exists(bool),
}

fn configure(parameters: &[u8]) -> Result<(), String> {
    RULE.set(read_rule(&Json::parse(parameters)?)?);
    Ok(())
}

fn read_rule(parameters: &Json) -> Result<Rule, &'static str> {
    let members = parameters.as_object().ok_or("parameters are an object")?;
    let mut rule = None;
    let mut reject_invalid = true;
    for (name, value) in members {
        match (name.as_str(), value.as_str()) {
            ("keep" | "drop", _) if rule.is_some() => return Err("either keep or drop"),
            ("keep", _) => rule = Some((true, read_condition(value, 0)?)),
            ("drop", _) => rule = Some((false, read_condition(value, 0)?)),
            ("invalid_json", Some("reject")) => reject_invalid = true,
            ("invalid_json", Some("no-match")) => reject_invalid = false,
            ("invalid_json", _) => return Err("invalid_json is reject or no-match"),
            _ => return Err("unknown parameter"),
        }
    }
    let (keep, condition) = rule.ok_or("keep or drop is missing")?;
    Ok(Rule {
        keep,
        condition,
        reject_invalid,
    })
}

fn read_condition(json: &Json, depth: u32) -> Result<Condition, &'static str> {
    if depth == MAX_NESTING {
        return Err("conditions nest too deep");
    }
    let members = json.as_object().ok_or("a condition is an object")?;
    let list = |json: &Json| -> Result<Vec<Condition>, &'static str> {
        let elements = json.as_array().ok_or("any and all have a list")?;
        elements
            .iter()
            .map(|e| read_condition(e, depth + 1))
            .collect()
    };
    let bytes = |json: &Json| -> Result<Vec<u8>, &'static str> {
        Ok(json
            .as_str()
            .ok_or("a text is a string")?
            .as_bytes()
            .to_vec())
    };
    match members {
        [(name, value)] => match name.as_str() {
            "any" => Ok(Condition::Any(list(value)?)),
            "all" => Ok(Condition::All(list(value)?)),
            "not" => Ok(Condition::Not(Box::new(read_condition(value, depth + 1)?))),
            "key_equals" => Ok(Condition::KeyEquals(bytes(value)?)),
            "key_prefix" => Ok(Condition::KeyPrefix(bytes(value)?)),
            "value_contains" => Ok(Condition::ValueContains(bytes(value)?)),
            _ => Err("unknown condition"),
        },
        [_, _] => read_test(json, &bytes),
        _ => Err("unknown condition"),
    }
}

/// A condition of two members: where to look, and what for.
fn read_test(
    json: &Json,
    bytes: &dyn Fn(&Json) -> Result<Vec<u8>, &'static str>,
) -> Result<Condition, &'static str> {
    let exists = match json.get("exists") {
        Some(value) => Some(value.as_bool().ok_or("exists is true or false")?),
        None => None,
    };
    let equals = json.get("equals");
    if let Some(name) = json.get("header") {
        let name = name.as_str().ok_or("header is a name")?.to_string();
        return match (equals, exists) {
            (Some(value), _) => Ok(Condition::Header(name, Test::Equals(bytes(value)?))),
            (None, Some(exists)) => Ok(Condition::Header(name, Test::Exists(exists))),
            _ => Err("a header has equals or exists"),
        };
    }
    let path = json.get("json").ok_or("unknown condition")?;
    let path = path
        .as_str()
        .and_then(Path::parse)
        .ok_or("json is a path")?;
    match (equals, exists) {
        (Some(Json::Array(_) | Json::Object(_)), _) => Err("equals is no list and no object"),
        (Some(value), _) => Ok(Condition::Json(path, Test::Equals(value.clone()))),
        (None, Some(exists)) => Ok(Condition::Json(path, Test::Exists(exists))),
        _ => Err("json has equals or exists"),
    }
}

fn transform(_: &Context, record: &Record) -> Verdict {
    let rule = match RULE.get() {
        Some(rule) => rule,
        None => return Verdict::reject(NOT_CONFIGURED, "filter has no parameters"),
    };
    match holds(&rule.condition, record, rule.reject_invalid) {
        Ok(holds) if holds == rule.keep => Verdict::keep(),
        Ok(_) => Verdict::drop(),
        Err(verdict) => verdict,
    }
}

/// Whether the condition holds. A condition on a part that is null does not.
fn holds(condition: &Condition, record: &Record, reject_invalid: bool) -> Result<bool, Verdict> {
    Ok(match condition {
        Condition::Any(list) => {
            for c in list {
                if holds(c, record, reject_invalid)? {
                    return Ok(true);
                }
            }
            false
        }
        Condition::All(list) => {
            for c in list {
                if !holds(c, record, reject_invalid)? {
                    return Ok(false);
                }
            }
            true
        }
        Condition::Not(c) => !holds(c, record, reject_invalid)?,
        Condition::Header(name, Test::Exists(want)) => record.header(name).is_some() == *want,
        Condition::Header(name, Test::Equals(want)) => {
            record.header(name).and_then(|h| h.value) == Some(&want[..])
        }
        Condition::KeyEquals(want) => record.key() == Some(&want[..]),
        Condition::KeyPrefix(want) => record.key().map_or(false, |key| key.starts_with(want)),
        Condition::ValueContains(want) => record.value().map_or(false, |v| contains(v, want)),
        Condition::Json(path, test) => match record.value().map(|value| find(value, path)) {
            None => matches!(test, Test::Exists(false)),
            Some(Ok(found)) => json_test(test, found),
            Some(Err(e)) if reject_invalid => {
                let message = format_error(e);
                return Err(Verdict::reject(NOT_JSON, message));
            }
            Some(Err(_)) => false,
        },
    })
}

fn format_error(error: varve_sdk::json::Error) -> String {
    let mut message = String::from("value is not JSON: ");
    message.push_str(&error.to_message());
    message
}

fn json_test(test: &Test<Json>, found: Option<Found>) -> bool {
    let want = match test {
        Test::Exists(want) => return found.is_some() == *want,
        Test::Equals(want) => want,
    };
    match (want, found) {
        (Json::String(want), Some(Found::Scalar(Token::String(got)))) => got.is(want),
        (Json::Number(want), Some(Found::Scalar(Token::Number(got)))) => number_eq(want, got),
        (Json::Bool(want), Some(Found::Scalar(Token::Bool(got)))) => *want == got,
        (Json::Null, Some(Found::Scalar(Token::Null))) => true,
        _ => false,
    }
}

fn contains(value: &[u8], want: &[u8]) -> bool {
    let first = match want.first() {
        Some(first) => first,
        None => return true,
    };
    let mut rest = value;
    while let Some(at) = rest.iter().position(|b| b == first) {
        if rest[at..].starts_with(want) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

varve_sdk::plugin! {
    manifest: r##"{
  "name": "filter",
  "version": "1.0.0",
  "description": "Keeps or drops records by a condition on key, value and headers",
  "hooks": ["transform"],
  "parts": ["key", "value", "headers"],
  "tombstones": true,
  "capabilities": [],
  "parameters": {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
      "keep": {"$ref": "#/$defs/condition", "description": "Records for which this holds are kept, the others dropped"},
      "drop": {"$ref": "#/$defs/condition", "description": "Records for which this holds are dropped, the others kept"},
      "invalid_json": {"enum": ["reject", "no-match"], "default": "reject", "description": "What a condition on JSON does with a value that is not JSON: reject the record, or not hold"}
    },
    "oneOf": [{"required": ["keep"]}, {"required": ["drop"]}],
    "additionalProperties": false,
    "$defs": {
      "condition": {
        "oneOf": [
          {"type": "object", "properties": {"any": {"type": "array", "items": {"$ref": "#/$defs/condition"}}}, "required": ["any"], "additionalProperties": false},
          {"type": "object", "properties": {"all": {"type": "array", "items": {"$ref": "#/$defs/condition"}}}, "required": ["all"], "additionalProperties": false},
          {"type": "object", "properties": {"not": {"$ref": "#/$defs/condition"}}, "required": ["not"], "additionalProperties": false},
          {"type": "object", "properties": {"header": {"type": "string"}, "equals": {"type": "string"}}, "required": ["header", "equals"], "additionalProperties": false},
          {"type": "object", "properties": {"header": {"type": "string"}, "exists": {"type": "boolean"}}, "required": ["header", "exists"], "additionalProperties": false},
          {"type": "object", "properties": {"key_equals": {"type": "string"}}, "required": ["key_equals"], "additionalProperties": false},
          {"type": "object", "properties": {"key_prefix": {"type": "string"}}, "required": ["key_prefix"], "additionalProperties": false},
          {"type": "object", "properties": {"value_contains": {"type": "string"}}, "required": ["value_contains"], "additionalProperties": false},
          {"type": "object", "properties": {"json": {"$ref": "#/$defs/path"}, "equals": {"type": ["string", "number", "boolean", "null"]}}, "required": ["json", "equals"], "additionalProperties": false},
          {"type": "object", "properties": {"json": {"$ref": "#/$defs/path"}, "exists": {"type": "boolean"}}, "required": ["json", "exists"], "additionalProperties": false}
        ]
      },
      "path": {"type": "string", "minLength": 1, "description": "Names of members joined by points, as in $.user.country; a backslash before a point makes it part of a name"}
    }
  }
}"##,
    transform: transform,
    configure: configure,
}

#[cfg(test)]
mod tests;
