//! A plugin that lets only JSON values pass that have certain fields.

use varve_sdk::json::{find, Found, Json, Path, Token};
use varve_sdk::{Config, Context, Record, Refusal};

/// The codes of its refusals.
const NOT_JSON: u16 = 1;
const MISSING: u16 = 2;

/// What the parameters require: each path with the message of its absence.
static REQUIRED: Config<Vec<(Path, String)>> = Config::new();

fn configure(parameters: &[u8]) -> Result<(), String> {
    let parameters = Json::parse(parameters)?;
    let members = parameters.as_object().ok_or("parameters are an object")?;
    let mut required = Vec::new();
    for (name, value) in members {
        if name != "required" {
            return Err(format!("unknown parameter {name}"));
        }
        for field in value.as_array().ok_or("required is a list")? {
            let field = field.as_str().ok_or("a field is a string")?;
            let path = Path::parse(field).ok_or("a field is a path")?;
            required.push((path, format!("{field} is missing")));
        }
    }
    if required.is_empty() {
        return Err("required names no field".to_string());
    }
    REQUIRED.set(required);
    Ok(())
}

fn validate(_: &Context, record: &Record) -> Result<(), Refusal> {
    let value = match record.value() {
        Some(value) => value,
        None => return Ok(()), // a tombstone
    };
    for (path, message) in REQUIRED.get().into_iter().flatten() {
        match find(value, path) {
            Ok(None | Some(Found::Scalar(Token::Null))) => {
                return Err(Refusal::reject(MISSING, message.as_str()));
            }
            Ok(Some(_)) => {}
            Err(e) => {
                let message = format!("value is not JSON: {}", e.to_message());
                return Err(Refusal::reject(NOT_JSON, message));
            }
        }
    }
    Ok(())
}

varve_sdk::plugin! {
    manifest: r#"{
  "name": "validate-json",
  "version": "1.0.0",
  "description": "Rejects values that are not JSON or lack a required field",
  "hooks": ["validate"],
  "parts": ["value"],
  "parameters": {
    "type": "object",
    "properties": {
      "required": {"type": "array", "minItems": 1, "items": {"type": "string"}, "description": "Fields that must be there and not null; points lead into objects, as in user.email"}
    },
    "required": ["required"],
    "additionalProperties": false
  }
}"#,
    validate: validate,
    configure: configure,
}

#[cfg(test)]
mod tests {
    use super::{configure, validate, MISSING, NOT_JSON};
    use varve_sdk::{testing::record, Refusal};

    #[test]
    fn required_fields() {
        configure(br#"{"required": ["id", "user.email"]}"#).unwrap();
        let check = |value: &str| record().value(value).validate(validate);
        let missing = |m| Err(Refusal::reject(MISSING, m));
        assert_eq!(check(r#"{"user": {"email": ""}, "id": 0}"#), Ok(()));
        assert_eq!(check(r#"{"id": 1}"#), missing("user.email is missing"));
        assert_eq!(
            check(r#"{"id": null, "user": {"email": ""}}"#),
            missing("id is missing")
        );
        assert_eq!(check("[]"), missing("id is missing"));
        let want = Refusal::reject(
            NOT_JSON,
            "value is not JSON: expected a value at byte 6".to_string(),
        );
        assert_eq!(check(r#"{"id":"#), Err(want));
        assert_eq!(record().validate(validate), Ok(()));
    }

    #[test]
    fn bad_parameters() {
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"required": []}"#,
            r#"{"required": "id"}"#,
            r#"{"required": [1]}"#,
            r#"{"required": [".id"]}"#,
            r#"{"require": ["id"]}"#,
        ] {
            assert!(configure(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
