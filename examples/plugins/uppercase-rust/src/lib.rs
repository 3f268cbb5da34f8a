//! A plugin that puts the ASCII letters of values into upper case.

use varve_sdk::{Context, Record, Verdict};

fn uppercase(_: &Context, record: &Record) -> Verdict {
    match record.value() {
        Some(value) => Verdict::replace().value(value.to_ascii_uppercase()),
        None => Verdict::keep(),
    }
}

varve_sdk::plugin! {
    manifest: r#"{"name": "uppercase", "version": "1.0.0", "hooks": ["transform"], "parts": ["value"]}"#,
    transform: uppercase,
}

#[cfg(test)]
mod tests {
    use super::uppercase;
    use varve_sdk::{testing::record, Verdict};

    #[test]
    fn letters_become_capitals() {
        let got = record().value("hello, 1").transform(uppercase);
        assert_eq!(got, Verdict::replace().value("HELLO, 1"));
    }

    #[test]
    fn null_stays_null() {
        assert_eq!(record().transform(uppercase), Verdict::keep());
    }
}
