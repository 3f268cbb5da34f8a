//! The golden vectors of the contract, `wasm/abi/golden`: every frame is read
//! and made, every list of verdicts written and read, all of it byte for byte,
//! and every garbage refused. Their texts are the other side of each test.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use varve_sdk::testing::{record, TestFrame, TestRecord};
use varve_sdk::{rt, Headers, Refusal, Verdict};

const DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wasm/abi/golden");

const FRAMES: [&str; 6] = [
    "frame-all-parts",
    "frame-empty",
    "frame-key-headers",
    "frame-longer",
    "frame-no-parts",
    "frame-value",
];

const VERDICTS: [&str; 4] = [
    "verdicts-fail",
    "verdicts-keep-drop",
    "verdicts-none",
    "verdicts-replace",
];

const GARBAGE: [&str; 15] = [
    "garbage-behind",
    "garbage-code",
    "garbage-headers",
    "garbage-kind",
    "garbage-length",
    "garbage-mask",
    "garbage-message",
    "garbage-missing",
    "garbage-name",
    "garbage-no-mask",
    "garbage-null-message",
    "garbage-split",
    "garbage-timestamp",
    "garbage-validate-drop",
    "garbage-validate-replace",
];

const KEY: u32 = 1;
const VALUE: u32 = 2;
const HEADERS: u32 = 4;
const TIMESTAMP: u32 = 8;

/// The bytes of a vector and its text.
fn vector(name: &str) -> (Vec<u8>, String) {
    let file = |ending: &str| {
        let path = Path::new(DIR).join(format!("{name}.{ending}"));
        fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    (file("bin"), String::from_utf8(file("txt")).unwrap())
}

/// A text that is read from its beginning on.
struct Scan<'a>(&'a str);

impl<'a> Scan<'a> {
    /// Takes `word` if it comes next.
    fn eat(&mut self, word: &str) -> bool {
        match self.0.strip_prefix(word) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn want(&mut self, word: &str) {
        assert!(self.eat(word), "{word:?} is missing before {:?}", self.0);
    }

    fn number(&mut self) -> i64 {
        let end = self.0.find(|c: char| c != '-' && !c.is_ascii_digit());
        let (digits, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        digits.parse().unwrap()
    }

    fn line(&mut self) -> &'a str {
        let (line, rest) = self.0.split_once('\n').unwrap();
        self.0 = rest;
        line
    }

    fn bytes(&mut self) -> Vec<u8> {
        self.want("\"");
        let end = self.0.find('"').unwrap();
        let (text, rest) = self.0.split_at(end);
        assert!(!text.contains('\\'), "{text:?} has an escape");
        self.0 = &rest[1..];
        text.as_bytes().to_vec()
    }

    fn nullable(&mut self) -> Option<Vec<u8>> {
        if self.eat("null") {
            return None;
        }
        Some(self.bytes())
    }

    fn headers(&mut self) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let mut all = Vec::new();
        while self.eat(" (") {
            let name = self.bytes();
            self.want(": ");
            all.push((name, self.nullable()));
            self.want(")");
        }
        all
    }
}

fn quote(bytes: Option<&[u8]>) -> String {
    match bytes {
        Some(bytes) => format!("\"{}\"", std::str::from_utf8(bytes).unwrap()),
        None => "null".to_string(),
    }
}

fn quote_header(name: &[u8], value: Option<&[u8]>) -> String {
    format!(" ({}: {})", quote(Some(name)), quote(value))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

#[test]
fn no_vector_is_missing_and_none_unknown() {
    let found: BTreeSet<String> = fs::read_dir(DIR)
        .unwrap_or_else(|e| panic!("{DIR}: {e}"))
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let mut want = BTreeSet::from(["README.txt".to_string()]);
    for name in FRAMES.iter().chain(&VERDICTS).chain(&GARBAGE) {
        want.insert(format!("{name}.bin"));
        want.insert(format!("{name}.txt"));
    }
    assert_eq!(found, want);
}

fn parse_frame(text: &str) -> TestFrame {
    let mut s = Scan(text);
    s.want("frame\ntopic ");
    let topic = String::from_utf8(s.bytes()).unwrap();
    let mut frame = TestFrame::new(&topic);
    s.want("\npartition ");
    frame.partition = s.number() as i32;
    s.want("\nappend_time ");
    frame.append_time = s.number();
    s.want("\nseed 0x");
    frame.seed = u64::from_str_radix(s.line(), 16).unwrap();
    s.want("generation ");
    frame.generation = s.number() as u64;
    s.want("\nparts ");
    frame.parts = s.number() as u32;
    s.want("\n");
    if s.eat("header_len ") {
        frame.more_header = s.number() as usize - 64;
        s.want("\nrecord_len ");
        frame.more_fixed = s.number() as usize - 32;
        s.want("\n");
    }
    while s.eat("record index ") {
        let mut r: TestRecord = record().index(s.number() as u32);
        if s.eat(", timestamp ") {
            r = r.timestamp(s.number());
        }
        if s.eat(", key ") {
            r = s.nullable().into_iter().fold(r, TestRecord::key);
        }
        if s.eat(", value ") {
            r = s.nullable().into_iter().fold(r, TestRecord::value);
        }
        if s.eat(", headers") {
            for (name, value) in s.headers() {
                let name = String::from_utf8(name).unwrap();
                r = match value {
                    Some(value) => r.header(&name, value),
                    None => r.null_header(&name),
                };
            }
        }
        s.want("\n");
        frame = frame.record(r);
    }
    assert_eq!(s.0, "");
    frame
}

/// What a plugin sees of a frame, as the vectors' texts say it.
fn describe_frame(frame: &[u8]) -> String {
    let parts = word(frame, 12);
    let (mut head, mut records) = (String::new(), String::new());
    let mut out = Vec::new();
    let whole = rt::run(&mut frame.to_vec(), &mut out, |c, r| {
        head = format!(
            "frame\ntopic {}\npartition {}\nappend_time {}\nseed {:#x}\ngeneration {}\nparts {parts}\n",
            quote(Some(c.topic().as_bytes())),
            c.partition(),
            c.append_time(),
            c.seed(),
            c.generation()
        );
        records += &format!("record index {}", r.index());
        match r.timestamp() {
            Some(t) => records += &format!(", timestamp {t}"),
            None => assert_eq!(parts & TIMESTAMP, 0),
        }
        assert!(parts & KEY != 0 || r.key().is_none());
        assert!(parts & VALUE != 0 || r.value().is_none());
        if parts & KEY != 0 {
            records += &format!(", key {}", quote(r.key()));
        }
        if parts & VALUE != 0 {
            records += &format!(", value {}", quote(r.value()));
        }
        if parts & HEADERS != 0 {
            records += ", headers";
        }
        for h in r.headers() {
            records += &quote_header(h.name, h.value);
        }
        records += "\n";
        Verdict::keep()
    });
    assert!(whole);
    assert_eq!(out, vec![0; word(frame, 8) as usize]);
    let (header_len, record_len) = (word(frame, 0), word(frame, 4));
    if (header_len, record_len) != (64, 32) {
        head += &format!("header_len {header_len}\nrecord_len {record_len}\n");
    }
    head + &records
}

#[test]
fn frames_are_read_and_made() {
    for name in FRAMES {
        let (bin, text) = vector(name);
        assert_eq!(parse_frame(&text).encode(), bin, "{name} is made");
        // A frame without records calls no plugin, so nothing is seen of it.
        let seen = describe_frame(&bin);
        let want = if word(&bin, 8) == 0 { "" } else { &text };
        assert_eq!(seen, want, "{name} is read");
    }
}

/// The answers that a text describes, and whether they are validate's.
fn parse_verdicts(text: &str) -> (bool, Vec<Verdict>) {
    let mut s = Scan(text);
    s.want("verdicts\nhook ");
    let validate = s.line() == "validate";
    let mut all = Vec::new();
    while !s.0.is_empty() {
        all.push(match validate {
            true => rt::checked(parse_result(&mut s)),
            false => parse_verdict(&mut s),
        });
        s.want("\n");
    }
    (validate, all)
}

fn parse_result(s: &mut Scan) -> Result<(), Refusal> {
    if s.eat("keep") {
        return Ok(());
    }
    let dead_letter = s.eat("dead-letter");
    assert!(dead_letter || s.eat("reject"));
    s.want(" code ");
    let code = s.number() as u16;
    s.want(", message ");
    let message = String::from_utf8(s.bytes()).unwrap();
    Err(match dead_letter {
        true => Refusal::dead_letter(code, message),
        false => Refusal::reject(code, message),
    })
}

fn parse_verdict(s: &mut Scan) -> Verdict {
    if s.eat("drop") {
        return Verdict::drop();
    }
    if !s.eat("replace") {
        return rt::checked(parse_result(s));
    }
    let mut v = Verdict::replace();
    if s.eat(", key ") {
        v = match s.nullable() {
            Some(key) => v.key(key),
            None => v.null_key(),
        };
    }
    if s.eat(", value ") {
        v = match s.nullable() {
            Some(value) => v.value(value),
            None => v.null_value(),
        };
    }
    if s.eat(", headers") {
        let mut headers = Headers::new();
        for (name, value) in s.headers() {
            headers.push(&name, value.as_deref());
        }
        v = v.headers(headers);
    }
    if s.eat(", timestamp ") {
        v = v.timestamp(s.number());
    }
    v
}

/// Verdicts that are read by the text of the specification.
struct Answer<'a>(&'a [u8]);

impl<'a> Answer<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let taken = self.0.get(..n)?;
        self.0 = &self.0[n..];
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4).map(|b| word(b, 0))
    }

    fn sized(&mut self, len: u32) -> Option<Option<&'a [u8]>> {
        if len == u32::MAX {
            return Some(None);
        }
        self.take(len as usize).map(Some)
    }

    fn nullable(&mut self) -> Option<String> {
        let len = self.u32()?;
        self.sized(len).map(quote)
    }

    fn headers(&mut self) -> Option<String> {
        let mut text = String::new();
        for _ in 0..self.u32()? {
            let (name_len, value_len) = (self.u32()?, self.u32()?);
            let name = self.take(name_len as usize)?;
            text += &quote_header(name, self.sized(value_len)?);
        }
        Some(text)
    }

    /// The next verdict's text; `None` if it is garbage.
    fn verdict(&mut self, validate: bool) -> Option<String> {
        let kind = self.take(1)?[0];
        Some(match kind {
            0 => "keep".to_string(),
            1 if !validate => "drop".to_string(),
            2 if !validate => {
                let mask = self.take(1)?[0] as u32;
                let mut text = "replace".to_string();
                if mask > 15 {
                    return None;
                }
                if mask & KEY != 0 {
                    text += &format!(", key {}", self.nullable()?);
                }
                if mask & VALUE != 0 {
                    text += &format!(", value {}", self.nullable()?);
                }
                if mask & HEADERS != 0 {
                    text += &format!(", headers{}", self.headers()?);
                }
                if mask & TIMESTAMP != 0 {
                    let t = i64::from_le_bytes(self.take(8)?.try_into().unwrap());
                    text += &format!(", timestamp {t}");
                }
                text
            }
            3 | 4 => {
                let name = ["reject", "dead-letter"][kind as usize - 3];
                let code = u16::from_le_bytes(self.take(2)?.try_into().unwrap());
                let len = self.u32()? as usize;
                let message = self.take(len)?;
                if code > 999 {
                    return None;
                }
                format!("{name} code {code}, message {}", quote(Some(message)))
            }
            _ => return None,
        })
    }
}

/// The texts of the verdicts of `count` records up to the first garbage, and
/// whether all of it is what it should be.
fn read_verdicts(out: &[u8], count: usize, validate: bool) -> (Vec<String>, bool) {
    let mut answer = Answer(out);
    let mut texts = Vec::new();
    while texts.len() < count {
        match answer.verdict(validate) {
            Some(text) => texts.push(text),
            None => return (texts, false),
        }
    }
    if !answer.0.is_empty() {
        texts.clear(); // bytes behind put all of them in doubt
        return (texts, false);
    }
    (texts, true)
}

#[test]
fn verdicts_are_written() {
    for name in VERDICTS {
        let (bin, text) = vector(name);
        let (validate, verdicts) = parse_verdicts(&text);
        let frame = verdicts
            .iter()
            .fold(TestFrame::new("t"), |f, _| f.record(record()));
        let mut next = verdicts.iter();
        let mut out = Vec::new();
        let whole = rt::run(&mut frame.encode(), &mut out, |_, _| {
            next.next().unwrap().clone()
        });
        assert!(whole && next.next().is_none());
        assert_eq!(out, bin, "{name} is written");

        let (texts, good) = read_verdicts(&bin, verdicts.len(), validate);
        let hook = if validate { "validate" } else { "transform" };
        let lines: String = texts.iter().map(|t| format!("{t}\n")).collect();
        assert!(good, "{name} is read");
        assert_eq!(format!("verdicts\nhook {hook}\n{lines}"), text, "{name}");
    }
}

#[test]
fn garbage_is_refused() {
    for name in GARBAGE {
        let (bin, text) = vector(name);
        let mut s = Scan(&text);
        s.want("garbage\nhook ");
        let validate = s.line() == "validate";
        s.want("records ");
        let count = s.number() as usize;
        s.want("\nverdicts before the fault ");
        let before = s.number() as usize;
        s.want("\nfault: ");
        let (texts, good) = read_verdicts(&bin, count, validate);
        assert!(!good, "{name} is taken for {texts:?}");
        assert_eq!(texts.len(), before, "{name}: {texts:?}");
    }
}
