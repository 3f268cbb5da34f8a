use super::{configure, read_rule, Rule, VARVE_MANIFEST};
use varve_sdk::json::Json;
use varve_sdk::testing::record;
use varve_sdk::{Headers, Verdict};

fn rule(parameters: &str) -> Rule {
    read_rule(&Json::parse(parameters.as_bytes()).unwrap()).unwrap()
}

#[test]
fn fields() {
    let rule = rule(r#"{"fields":["email","user.ssn","$.a\\.b","card.number"]}"#);
    let cases = [
        (r#"{"email":"a@b.c"}"#, r#"{"email":"***"}"#),
        (
            " { \"email\" :\t\"a\" , \"n\":1.50 }\n",
            " { \"email\" :\t\"***\" , \"n\":1.50 }\n",
        ),
        (r#"{"email":5}"#, r#"{"email":"***"}"#),
        (
            r#"{"email":true,"email":""}"#,
            r#"{"email":"***","email":"***"}"#,
        ),
        (r#"{"\u0065mail":"x"}"#, r#"{"\u0065mail":"***"}"#),
        (
            r#"{"user":{"ssn":"1","name":"n"}}"#,
            r#"{"user":{"ssn":"***","name":"n"}}"#,
        ),
        (
            r#"{"user":[{"ssn":"1"},{"ssn":2}]}"#,
            r#"{"user":[{"ssn":"***"},{"ssn":"***"}]}"#,
        ),
        (
            r#"[[{"email":"x"}],{"email":"y"}]"#,
            r#"[[{"email":"***"}],{"email":"***"}]"#,
        ),
        (
            r#"{"email":{"home":"x","all":["y",null,{"email":1}]},"z":"z"}"#,
            r#"{"email":{"home":"***","all":["***",null,{"email":"***"}]},"z":"z"}"#,
        ),
        (
            r#"{"a.b":"x","a":{"b":"y"}}"#,
            r#"{"a.b":"***","a":{"b":"y"}}"#,
        ),
        (
            r#"{"card":{"x":{"number":1}},"user":{"card":{"number":1}},"card":{"number":9}}"#,
            r#"{"card":{"x":{"number":1}},"user":{"card":{"number":1}},"card":{"number":"***"}}"#,
        ),
    ];
    for (value, want) in cases {
        let got = record().value(value).transform(|_, r| rule.apply(r));
        assert_eq!(got, Verdict::replace().value(want), "{value}");
        let again = record().value(want).transform(|_, r| rule.apply(r));
        assert_eq!(again, Verdict::replace().value(want), "again {want}");
    }
    for value in [
        r#"{"Email":"a"}"#,
        r#"{"email":null,"emails":"a"}"#,
        r#"{"x":{"email":"a"}}"#,
        r#"{"ssn":"a","user":"b"}"#,
        r#""email""#,
        "17",
    ] {
        let got = record().value(value).transform(|_, r| rule.apply(r));
        assert_eq!(got, Verdict::keep(), "{value}");
    }
}

#[test]
fn overlapping_fields() {
    let rule = rule(r#"{"fields":["user.ssn","user"],"replacement":"\"x\"\n"}"#);
    let got = record()
        .value(r#"{"user":{"ssn":1,"b":2}}"#)
        .transform(|_, r| rule.apply(r));
    let want = r#"{"user":{"ssn":"\"x\"\n","b":"\"x\"\n"}}"#;
    assert_eq!(got, Verdict::replace().value(want));
}

#[test]
fn sixty_four_fields() {
    let list = |n: usize| {
        let names: Vec<String> = (0..n).map(|i| format!("\"f{i}\"")).collect();
        format!("{{\"fields\":[{}]}}", names.join(","))
    };
    let rule = rule(&list(64));
    let got = record()
        .value(r#"{"f63":1}"#)
        .transform(|_, r| rule.apply(r));
    assert_eq!(got, Verdict::replace().value(r#"{"f63":"***"}"#));
    assert!(configure(list(65).as_bytes()).is_err());
}

#[test]
fn values_that_are_not_json() {
    let rule = rule(r#"{"fields":["email"]}"#);
    for (value, what) in [
        (&b""[..], "expected a value at byte 0"),
        (b"hello", "expected a value at byte 0"),
        (br#"{"email":"a"} x"#, "expected the end at byte 14"),
        (
            br#"{"email":"a""#,
            "expected a comma or the closing bracket at byte 12",
        ),
        (b"\"\xff\"", "expected UTF-8 at byte 1"),
    ] {
        let got = record().value(value).transform(|_, r| rule.apply(r));
        let message = format!("value is not JSON: {what}");
        assert_eq!(got, Verdict::reject(1, message), "{value:?}");
    }
    let got = record().transform(|_, r| rule.apply(r));
    assert_eq!(got, Verdict::keep());
}

#[test]
fn headers() {
    let rule = rule(r#"{"headers":["authorization"],"drop_headers":["cookie"],"replacement":"-"}"#);
    let got = record()
        .value("not json")
        .header("a", "1")
        .header("Authorization", "secret")
        .null_header("authorization")
        .header("COOKIE", "c")
        .header("a", "2")
        .transform(|_, r| rule.apply(r));
    let want = Headers::new()
        .add("a", "1")
        .add("Authorization", "-")
        .add_null("authorization")
        .add("a", "2");
    assert_eq!(got, Verdict::replace().headers(want));
    let got = record().header("a", "1").transform(|_, r| rule.apply(r));
    assert_eq!(got, Verdict::keep());
}

#[test]
fn refuses_parameters() {
    for parameters in [
        "",
        "null",
        "{}",
        r#"{"fields":[]}"#,
        r#"{"fields":"email"}"#,
        r#"{"fields":[1]}"#,
        r#"{"fields":["a..b"]}"#,
        r#"{"fields":["a"],"replacement":1}"#,
        r#"{"fields":["a"],"more":1}"#,
    ] {
        assert!(configure(parameters.as_bytes()).is_err(), "{parameters}");
    }
}

#[test]
fn the_manifest_is_json() {
    let manifest = Json::parse(VARVE_MANIFEST.as_bytes()).unwrap();
    assert_eq!(manifest.get("name").unwrap().as_str(), Some("redact"));
    assert!(manifest.get("parameters").unwrap().as_object().is_some());
}
