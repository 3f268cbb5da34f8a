//! The JSON reader.

use varve_sdk::json::{find, number_eq, quote, Found, Json, Path, Reader, Token, MAX_DEPTH};

fn valid(text: &[u8]) -> bool {
    let mut reader = Reader::new(text);
    let mut last = None;
    loop {
        match reader.next_token() {
            Ok(None) => break,
            Ok(Some(_)) => {
                let span = reader.span();
                assert!(span.start < span.end && span.end <= text.len());
                assert!(last <= Some(span.start));
                last = Some(span.end);
            }
            Err(e) => {
                assert!(e.at <= text.len());
                assert_eq!(reader.next_token(), Err(e), "an error stays");
                assert_eq!(Json::parse(text), Err(e));
                return false;
            }
        }
    }
    assert_eq!(reader.next_token(), Ok(None));
    assert!(Json::parse(text).is_ok());
    true
}

#[test]
fn grammar() {
    for text in [
        "0",
        "-0",
        "1.5",
        "-1.5e+10",
        "1E5",
        "10",
        "true",
        "false",
        "null",
        "\"\"",
        "{}",
        "[]",
        " [ 1 , 2 ] ",
        "{\"a\":1,\"a\":[{}]}",
        "\t\r\n{ \"a\" : { } }",
        "\"\\u00e9\\ud83d\\ude00\"",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\u{7f}\u{e9}\u{1f600}\"",
        "\"\\ud800\"",
        "[[[[]]]]",
    ] {
        assert!(valid(text.as_bytes()), "{text}");
    }
    for text in [
        "",
        " ",
        "01",
        "-",
        "+1",
        ".5",
        "1.",
        "1e",
        "1e+",
        "0x1",
        "tru",
        "truee",
        "nul",
        "'a'",
        "\"",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\\u123",
        "\"\n\"",
        "{",
        "}",
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1}",
        "{]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{1:1}",
        "{\"a\":1 \"b\":2}",
        "1 2",
        "{} x",
        "[]]",
        "NaN",
        "\u{feff}1",
        "{\"a\":1]",
        "// x\n1",
    ] {
        assert!(!valid(text.as_bytes()), "{text}");
    }
    assert!(!valid(b"\"\xc3\x28\""));
    assert!(!valid(b"\"\xed\xa0\x80\""));
}

#[test]
fn depth_is_bounded() {
    let nested = |n: usize| ["[".repeat(n), "]".repeat(n)].concat();
    assert!(valid(nested(MAX_DEPTH as usize).as_bytes()));
    assert!(!valid(nested(MAX_DEPTH as usize + 1).as_bytes()));
    assert!(!valid("{\"a\":".repeat(1000).as_bytes()));
}

#[test]
fn prefixes_and_changed_bytes_end_in_an_answer() {
    let text = br#"{"a\u00e9\ud83d\ude00":[1.5e-3,true,null,{"b":"\n"}],"c":"x"}"#;
    assert!(valid(text));
    for len in 0..text.len() {
        assert!(!valid(&text[..len]), "{len}");
    }
    for at in 0..text.len() {
        for byte in 0..=255 {
            let mut changed = text.to_vec();
            changed[at] = byte;
            valid(&changed);
        }
    }
}

#[test]
fn trees() {
    let json = Json::parse(br#"{"s":"a\n\u00e9\ud83d\ude00\ud800x","n":-12,"f":1.5,"b":true,"l":[1,[],{}],"n":7,"z":null}"#).unwrap();
    assert_eq!(
        json.get("s").unwrap().as_str(),
        Some("a\n\u{e9}\u{1f600}\u{fffd}x")
    );
    assert_eq!(json.get("n").unwrap().as_i64(), Some(7));
    assert_eq!(json.get("f").unwrap().as_f64(), Some(1.5));
    assert_eq!(json.get("f").unwrap().as_i64(), None);
    assert_eq!(json.get("b").unwrap().as_bool(), Some(true));
    assert_eq!(json.get("z"), Some(&Json::Null));
    assert_eq!(json.get("gone"), None);
    let list = json.get("l").unwrap().as_array().unwrap();
    let one = Json::Number("1".to_string());
    assert_eq!(list, [one, Json::Array(vec![]), Json::Object(vec![])]);
    assert_eq!(json.as_object().unwrap().len(), 7);
    assert_eq!(Json::Null.get("a"), None);
}

#[test]
fn strings_compare_without_decoding() {
    for (text, is, is_not) in [
        (r#""abc""#, "abc", "ab"),
        (r#""a\u0062c""#, "abc", "abcd"),
        (r#""a\u0062c""#, "abc", "ab"),
        (r#""\ud83d\ude00""#, "\u{1f600}", "\u{fffd}"),
        (r#""""#, "", "a"),
    ] {
        match Reader::new(text.as_bytes()).next_token() {
            Ok(Some(Token::String(got))) => {
                assert!(got.is(is), "{text}");
                assert!(!got.is(is_not), "{text}");
                assert_eq!(got.decode(), is);
            }
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn quoting_is_undone_by_reading() {
    let text: String = (0..0x250).filter_map(char::from_u32).collect();
    let mut quoted = Vec::new();
    quote(&text, &mut quoted);
    assert_eq!(Json::parse(&quoted).unwrap().as_str(), Some(&text[..]));
}

#[test]
fn numbers() {
    for (a, b) in [
        ("1", "1"),
        ("1", "1.0"),
        ("100", "1e2"),
        ("0.001", "1E-3"),
        ("10e-1", "1"),
        ("0", "-0.0e5"),
        ("12.340", "1234e-2"),
        ("-5", "-50e-1"),
        ("0.10", "1e-1"),
        ("1200", "12e+2"),
        ("9007199254740993", "9007199254740993.0"),
    ] {
        assert!(number_eq(a, b) && number_eq(b, a), "{a} {b}");
    }
    for (a, b) in [
        ("1", "-1"),
        ("1", "10"),
        ("0.1", "0.01"),
        ("9007199254740993", "9007199254740992"),
        ("1", "0"),
        ("12", "120"),
        ("1.2", "12"),
        ("101", "1.1"),
        ("1e5", "1e-5"),
        ("1e1000000000000000000000", "1e1000000000000000000001"),
    ] {
        assert!(!number_eq(a, b) && !number_eq(b, a), "{a} {b}");
    }
}

#[test]
fn paths() {
    let names = |text| Path::parse(text).map(|p| p.names().join("|"));
    assert_eq!(names("a").as_deref(), Some("a"));
    assert_eq!(names("$.a.b").as_deref(), Some("a|b"));
    assert_eq!(names(r"a\.b.c\\d").as_deref(), Some(r"a.b|c\d"));
    for text in ["", "$.", "a.", ".a", "a..b", r"a\", r"a\b"] {
        assert_eq!(names(text), None, "{text}");
    }
}

#[test]
fn finding() {
    let got = |text: &str, path: &str| {
        let path = Path::parse(path).unwrap();
        match find(text.as_bytes(), &path) {
            Ok(Some(Found::Scalar(Token::Number(n)))) => n.to_string(),
            Ok(Some(Found::Container)) => "container".to_string(),
            Ok(None) => "none".to_string(),
            other => format!("{other:?}"),
        }
    };
    for (text, path, want) in [
        (r#"{"a":1}"#, "a", "1"),
        (r#"{"a":{"b":2},"b":3}"#, "a.b", "2"),
        (r#"{"b":3,"a":{"x":{"b":4},"b":2}}"#, "a.b", "2"),
        (r#"{"x":{"a":{"b":1}}}"#, "a.b", "none"),
        (r#"{"x":{"b":1}}"#, "a.b", "none"),
        (r#"{"a":{"c":{"b":1}}}"#, "a.b", "none"),
        (r#"{"a":1,"a":2}"#, "a", "2"),
        (r#"{"a":{"b":1},"a":{}}"#, "a.b", "none"),
        (r#"{"a":{"b":1},"a":5}"#, "a.b", "none"),
        (r#"{"a":{"b":1,"x":{"c":5}}}"#, "a.b.c", "none"),
        (r#"{"a":{"b":{"c":6}}}"#, "a.b.c", "6"),
        (r#"{"a":[{"b":1}]}"#, "a.b", "none"),
        (r#"[{"a":1}]"#, "a", "none"),
        (r#"{"a":[1]}"#, "a", "container"),
        (r#"{"a":{}}"#, "a", "container"),
        (r#"{"z":[{"a":9}],"a":1}"#, "a", "1"),
        ("1", "a", "none"),
    ] {
        assert_eq!(got(text, path), want, "{path} in {text}");
    }
    let path = Path::parse("a").unwrap();
    assert!(find(br#"{"a":1}x"#, &path).is_err());
    assert!(find(br#"{"b":[1,}"#, &path).is_err());
}
