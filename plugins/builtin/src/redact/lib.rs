//! The built-in plugin `redact`: replaces fields of JSON values and headers.
//! Every byte that is not redacted stays as it was.

mod rewrite;

use rewrite::Fields;
use varve_sdk::json::{quote, Json, Path};
use varve_sdk::{Config, Context, Headers, Record, Verdict};

/// The code of a record whose value is not JSON.
const NOT_JSON: u16 = 1;
/// The code of every record if the stage has no parameters.
const NOT_CONFIGURED: u16 = 2;

static RULE: Config<Rule> = Config::new();

#[derive(Default)]
struct Rule {
    fields: Fields,
    headers: Vec<String>,
    drop_headers: Vec<String>,
    text: String,    // what stands in a header
    quoted: Vec<u8>, // what stands in JSON
}

fn configure(parameters: &[u8]) -> Result<(), String> {
    RULE.set(read_rule(&Json::parse(parameters)?)?);
    Ok(())
}

fn read_rule(parameters: &Json) -> Result<Rule, &'static str> {
    let mut rule = Rule {
        text: "***".to_string(),
        ..Rule::default()
    };
    for (name, value) in parameters.as_object().ok_or("parameters are an object")? {
        match name.as_str() {
            "fields" => {
                for text in strings(value)? {
                    let path = Path::parse(&text).ok_or("a field is a path")?;
                    rule.fields.add(path).ok_or("too many fields")?;
                }
            }
            "headers" => rule.headers = strings(value)?,
            "drop_headers" => rule.drop_headers = strings(value)?,
            "replacement" => {
                rule.text = value.as_str().ok_or("replacement is a string")?.to_string()
            }
            _ => return Err("unknown parameter"),
        }
    }
    if rule.fields.is_empty() && rule.headers.is_empty() && rule.drop_headers.is_empty() {
        return Err("nothing to redact");
    }
    quote(&rule.text, &mut rule.quoted);
    Ok(rule)
}

fn strings(json: &Json) -> Result<Vec<String>, &'static str> {
    let elements = json.as_array().ok_or("a list of strings")?;
    let string = |e: &Json| e.as_str().map(str::to_string).ok_or("a list of strings");
    elements.iter().map(string).collect()
}

fn transform(_: &Context, record: &Record) -> Verdict {
    match RULE.get() {
        Some(rule) => rule.apply(record),
        None => Verdict::reject(NOT_CONFIGURED, "redact has no parameters"),
    }
}

impl Rule {
    fn apply(&self, record: &Record) -> Verdict {
        let mut verdict = Verdict::keep();
        if let (Some(value), false) = (record.value(), self.fields.is_empty()) {
            match rewrite::rewrite(value, &self.fields, &self.quoted) {
                Ok(None) => {}
                Ok(Some(redacted)) => verdict = verdict.value(redacted),
                Err(e) => {
                    let mut message = String::from("value is not JSON: ");
                    message.push_str(&e.to_message());
                    return Verdict::reject(NOT_JSON, message);
                }
            }
        }
        if let Some(headers) = self.redact_headers(record) {
            verdict = verdict.headers(headers);
        }
        verdict
    }

    /// The record's headers, redacted; `None` if none is concerned.
    fn redact_headers(&self, record: &Record) -> Option<Headers> {
        let named = |list: &[String], name: &[u8]| {
            list.iter().any(|l| l.as_bytes().eq_ignore_ascii_case(name))
        };
        let concerned = |name| named(&self.headers, name) || named(&self.drop_headers, name);
        if !record.headers().any(|h| concerned(h.name)) {
            return None;
        }
        let mut out = Headers::new();
        for h in record.headers() {
            if named(&self.drop_headers, h.name) {
                continue;
            }
            let redacted = h.value.map(|_| self.text.as_bytes());
            let value = if named(&self.headers, h.name) {
                redacted
            } else {
                h.value
            };
            out.push(h.name, value);
        }
        Some(out)
    }
}

varve_sdk::plugin! {
    manifest: r##"{
  "name": "redact",
  "version": "1.0.0",
  "description": "Replaces fields of JSON values and headers",
  "hooks": ["transform"],
  "parts": ["value", "headers"],
  "tombstones": true,
  "capabilities": [],
  "parameters": {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
      "fields": {"type": "array", "maxItems": 64, "items": {"type": "string", "minLength": 1}, "description": "Members of JSON values, as in user.ssn; every string, number and boolean at or below one is replaced. Lists are passed through. A backslash before a point makes it part of a name. A value that is not JSON is rejected"},
      "headers": {"type": "array", "items": {"type": "string"}, "description": "Headers whose values are replaced; upper and lower case are the same"},
      "drop_headers": {"type": "array", "items": {"type": "string"}, "description": "Headers that are removed; upper and lower case are the same"},
      "replacement": {"type": "string", "default": "***", "description": "What is put in place"}
    },
    "anyOf": [{"required": ["fields"]}, {"required": ["headers"]}, {"required": ["drop_headers"]}],
    "additionalProperties": false
  }
}"##,
    transform: transform,
    configure: configure,
}

#[cfg(test)]
mod tests;
