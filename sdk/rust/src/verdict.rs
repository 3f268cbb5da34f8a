//! What a handler answers, and its bytes (SPEC, section 4).

use crate::frame::{HeaderIter, Record, HEADERS, KEY, TIMESTAMP, VALUE};

/// Bytes of a message that the broker keeps.
const MAX_MESSAGE: usize = 1024;

/// The largest code of a plugin; those above are the broker's.
const MAX_CODE: u16 = 999;

/// What becomes of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Keep,
    Drop,
    Replace(Patch),
    Refuse(Refusal),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Patch {
    mask: u32,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Headers,
    timestamp: i64,
}

impl Verdict {
    /// The record stays as it is.
    pub fn keep() -> Verdict {
        Verdict(Kind::Keep)
    }

    /// The record is not stored. The producer is told that it was.
    pub fn drop() -> Verdict {
        Verdict(Kind::Drop)
    }

    /// The record with other parts, named by the methods that follow, as in
    /// `Verdict::replace().key("k").null_value()`. Parts that are not named
    /// stay as they are. On a verdict other than keep and replace the methods
    /// change nothing.
    pub fn replace() -> Verdict {
        Verdict(Kind::Replace(Patch::default()))
    }

    /// The record failed; the stage's policy says what follows. Codes are 0 to
    /// 999, a larger one becomes 999. The message reaches the producer: put no
    /// data in it.
    pub fn reject(code: u16, message: impl Into<String>) -> Verdict {
        Refusal::reject(code, message).into()
    }

    /// The record goes to the dead-letter topic, whatever the policy.
    pub fn dead_letter(code: u16, message: impl Into<String>) -> Verdict {
        Refusal::dead_letter(code, message).into()
    }

    /// Replaces the key.
    pub fn key(self, key: impl Into<Vec<u8>>) -> Verdict {
        self.patch(KEY, |p| p.key = Some(key.into()))
    }

    /// Replaces the key by null.
    pub fn null_key(self) -> Verdict {
        self.patch(KEY, |p| p.key = None)
    }

    /// Replaces the value.
    pub fn value(self, value: impl Into<Vec<u8>>) -> Verdict {
        self.patch(VALUE, |p| p.value = Some(value.into()))
    }

    /// Replaces the value by null: a tombstone in a compacted topic.
    pub fn null_value(self) -> Verdict {
        self.patch(VALUE, |p| p.value = None)
    }

    /// Replaces all headers.
    pub fn headers(self, headers: Headers) -> Verdict {
        self.patch(HEADERS, |p| p.headers = headers)
    }

    /// Replaces the timestamp, in milliseconds since 1970.
    pub fn timestamp(self, timestamp: i64) -> Verdict {
        self.patch(TIMESTAMP, |p| p.timestamp = timestamp)
    }

    fn patch(mut self, part: u32, set: impl FnOnce(&mut Patch)) -> Verdict {
        if let Kind::Keep = self.0 {
            self.0 = Kind::Replace(Patch::default());
        }
        if let Kind::Replace(patch) = &mut self.0 {
            patch.mask |= part;
            set(patch);
        }
        self
    }

    /// The number of bytes that `encode` adds, or more.
    pub(crate) fn size(&self) -> usize {
        match &self.0 {
            Kind::Keep | Kind::Drop => 1,
            Kind::Replace(p) => {
                let len = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
                2 + 4 + len(&p.key) + 4 + len(&p.value) + 4 + p.headers.bytes.len() + 8
            }
            Kind::Refuse(r) => 7 + r.message.len(),
        }
    }

    /// Appends the verdict's bytes.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Kind::Keep => out.push(0),
            Kind::Drop => out.push(1),
            Kind::Replace(p) => p.encode(out),
            Kind::Refuse(r) => {
                out.push(if r.dead_letter { 4 } else { 3 });
                out.extend_from_slice(&r.code.to_le_bytes());
                let message = clip(&r.message);
                out.extend_from_slice(&(message.len() as u32).to_le_bytes());
                out.extend_from_slice(message.as_bytes());
            }
        }
    }
}

impl Patch {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[2, self.mask as u8]);
        if self.mask & KEY != 0 {
            encode_part(out, self.key.as_deref());
        }
        if self.mask & VALUE != 0 {
            encode_part(out, self.value.as_deref());
        }
        if self.mask & HEADERS != 0 {
            out.extend_from_slice(&self.headers.count.to_le_bytes());
            out.extend_from_slice(&self.headers.bytes);
        }
        if self.mask & TIMESTAMP != 0 {
            out.extend_from_slice(&self.timestamp.to_le_bytes());
        }
    }
}

fn encode_part(out: &mut Vec<u8>, part: Option<&[u8]>) {
    match part {
        None => out.extend_from_slice(&(-1i32).to_le_bytes()),
        Some(bytes) => {
            out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            out.extend_from_slice(bytes);
        }
    }
}

/// The longest prefix of whole characters that the broker keeps.
fn clip(message: &str) -> &str {
    let mut end = message.len().min(MAX_MESSAGE);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    &message[..end]
}

/// Why a record does not pass: the error of a `validate` function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    dead_letter: bool,
    code: u16,
    message: String,
}

impl Refusal {
    /// The record failed; the stage's policy says what follows. Codes are 0 to
    /// 999, a larger one becomes 999.
    pub fn reject(code: u16, message: impl Into<String>) -> Refusal {
        Refusal {
            dead_letter: false,
            code: code.min(MAX_CODE),
            message: message.into(),
        }
    }

    /// The record goes to the dead-letter topic, whatever the policy.
    pub fn dead_letter(code: u16, message: impl Into<String>) -> Refusal {
        Refusal {
            dead_letter: true,
            code: code.min(MAX_CODE),
            message: message.into(),
        }
    }
}

impl From<Refusal> for Verdict {
    fn from(refusal: Refusal) -> Verdict {
        Verdict(Kind::Refuse(refusal))
    }
}

/// The headers of a replacement: an ordered list in which names may repeat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    count: u32,
    bytes: Vec<u8>,
}

impl Headers {
    /// No headers.
    pub fn new() -> Headers {
        Headers::default()
    }

    /// The headers of a record, to be added to.
    pub fn of(record: &Record) -> Headers {
        let (count, bytes) = record.raw_headers();
        Headers {
            count,
            bytes: bytes.to_vec(),
        }
    }

    /// Appends a header.
    pub fn add(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Headers {
        self.push(name.as_ref(), Some(value.as_ref()));
        self
    }

    /// Appends a header whose value is null.
    pub fn add_null(mut self, name: impl AsRef<[u8]>) -> Headers {
        self.push(name.as_ref(), None);
        self
    }

    /// Appends a header; a value of `None` is null.
    pub fn push(&mut self, name: &[u8], value: Option<&[u8]>) {
        self.count += 1;
        self.bytes
            .extend_from_slice(&(name.len() as u32).to_le_bytes());
        let value_len = value.map_or(-1, |v| v.len() as i32);
        self.bytes.extend_from_slice(&value_len.to_le_bytes());
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value.unwrap_or(&[]));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn raw(&self) -> (u32, &[u8]) {
        (self.count, &self.bytes)
    }
}

impl<'a> From<HeaderIter<'a>> for Headers {
    fn from(iter: HeaderIter<'a>) -> Headers {
        let mut out = Headers::new();
        for h in iter {
            out.push(h.name, h.value);
        }
        out
    }
}
