use super::{configure, holds, read_rule, VARVE_MANIFEST};
use varve_sdk::json::Json;
use varve_sdk::testing::{record, TestRecord};
use varve_sdk::Verdict;

fn verdict(parameters: &str, record: TestRecord) -> Verdict {
    let rule = read_rule(&Json::parse(parameters.as_bytes()).unwrap()).unwrap();
    record.transform(
        |_, r| match holds(&rule.condition, r, rule.reject_invalid) {
            Ok(holds) if holds == rule.keep => Verdict::keep(),
            Ok(_) => Verdict::drop(),
            Err(verdict) => verdict,
        },
    )
}

/// Whether a condition holds for a record with everything in it.
fn matches(condition: &str) -> bool {
    let order = record()
        .key("eu-17")
        .value(
            r#"{"user":{"country":"DE","age":42.0,"a.b":true,"none":null,"tags":["x"]},"n":1e2}"#,
        )
        .header("type", "first")
        .header("type", "order")
        .null_header("empty");
    verdict(&format!("{{\"keep\":{condition}}}"), order) == Verdict::keep()
}

#[test]
fn conditions() {
    let cases = [
        (r#"{"header":"type","equals":"order"}"#, true),
        (r#"{"header":"type","equals":"first"}"#, false),
        (r#"{"header":"Type","equals":"order"}"#, false),
        (r#"{"header":"empty","exists":true}"#, true),
        (r#"{"header":"empty","equals":""}"#, false),
        (r#"{"header":"gone","exists":false}"#, true),
        (r#"{"key_prefix":"eu-"}"#, true),
        (r#"{"key_prefix":"us-"}"#, false),
        (r#"{"key_equals":"eu-17"}"#, true),
        (r#"{"key_equals":"eu-1"}"#, false),
        (r#"{"value_contains":"\"DE\""}"#, true),
        (r#"{"value_contains":"ageage"}"#, false),
        (r#"{"value_contains":""}"#, true),
        (r#"{"json":"$.user.country","equals":"DE"}"#, true),
        (r#"{"json":"user.country","equals":"D\u0045"}"#, true),
        (r#"{"json":"user.country","equals":"FR"}"#, false),
        (r#"{"json":"user.age","equals":42}"#, true),
        (r#"{"json":"user.age","equals":"42"}"#, false),
        (r#"{"json":"n","equals":100}"#, true),
        (r#"{"json":"user.a\\.b","equals":true}"#, true),
        (r#"{"json":"user.none","equals":null}"#, true),
        (r#"{"json":"user.none","exists":true}"#, true),
        (r#"{"json":"user.gone","equals":null}"#, false),
        (r#"{"json":"user.gone","exists":false}"#, true),
        (r#"{"json":"user.tags","exists":true}"#, true),
        (r#"{"json":"user","equals":"DE"}"#, false),
        (r#"{"any":[{"key_prefix":"x"},{"key_prefix":"eu"}]}"#, true),
        (r#"{"all":[{"key_prefix":"x"},{"key_prefix":"eu"}]}"#, false),
        (r#"{"any":[]}"#, false),
        (r#"{"all":[]}"#, true),
        (r#"{"not":{"key_prefix":"eu"}}"#, false),
    ];
    for (condition, want) in cases {
        assert_eq!(matches(condition), want, "{condition}");
    }
}

#[test]
fn drop_is_the_opposite_of_keep() {
    let parameters = r#"{"drop":{"key_prefix":"test-"}}"#;
    assert_eq!(verdict(parameters, record().key("test-1")), Verdict::drop());
    assert_eq!(verdict(parameters, record().key("live-1")), Verdict::keep());
    assert_eq!(verdict(parameters, record()), Verdict::keep());
}

#[test]
fn null_parts_match_nothing() {
    let parameters =
        r#"{"keep":{"any":[{"key_prefix":""},{"value_contains":""},{"json":"a","equals":null}]}}"#;
    assert_eq!(verdict(parameters, record()), Verdict::drop());
    assert_eq!(
        verdict(r#"{"keep":{"json":"a","exists":false}}"#, record()),
        Verdict::keep()
    );
}

#[test]
fn values_that_are_not_json() {
    let broken = || record().value(r#"{"a":"#);
    let keep = r#"{"keep":{"json":"a","equals":1}}"#;
    let message = "value is not JSON: expected a value at byte 5";
    assert_eq!(verdict(keep, broken()), Verdict::reject(1, message));
    let lenient = r#"{"drop":{"json":"a","equals":1},"invalid_json":"no-match"}"#;
    assert_eq!(verdict(lenient, broken()), Verdict::keep());
}

#[test]
fn refuses_parameters() {
    for parameters in [
        "",
        "[]",
        "{}",
        r#"{"keep":{"all":[]},"drop":{"all":[]}}"#,
        r#"{"keep":{"all":[]},"more":1}"#,
        r#"{"keep":{"all":[]},"invalid_json":"ignore"}"#,
        r#"{"keep":{}}"#,
        r#"{"keep":{"key_prefix":1}}"#,
        r#"{"keep":{"key_prefix":"a","key_equals":"b"}}"#,
        r#"{"keep":{"header":"a"}}"#,
        r#"{"keep":{"header":"a","equals":1}}"#,
        r#"{"keep":{"header":"a","equals":"b","exists":true}}"#,
        r#"{"keep":{"json":"a..b","exists":true}}"#,
        r#"{"keep":{"json":"a","equals":[1]}}"#,
        r#"{"keep":{"json":"a","exists":"yes"}}"#,
    ] {
        assert!(configure(parameters.as_bytes()).is_err(), "{parameters}");
    }
    let deep = |n: usize| {
        format!(
            "{{\"keep\":{}{{\"all\":[]}}{}}}",
            r#"{"not":"#.repeat(n),
            "}".repeat(n)
        )
    };
    assert!(configure(deep(15).as_bytes()).is_ok());
    assert!(configure(deep(16).as_bytes()).is_err());
}

#[test]
fn the_manifest_is_json() {
    let manifest = Json::parse(VARVE_MANIFEST.as_bytes()).unwrap();
    assert_eq!(manifest.get("name").unwrap().as_str(), Some("filter"));
    assert!(manifest.get("parameters").unwrap().as_object().is_some());
}
