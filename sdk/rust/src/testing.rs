//! Records for tests of a plugin on the author's machine.
//!
//! ```
//! use varve_sdk::{testing, Context, Record, Verdict};
//!
//! fn shout(_: &Context, record: &Record) -> Verdict {
//!     Verdict::replace().value(record.value().unwrap_or(b"").to_ascii_uppercase())
//! }
//!
//! let got = testing::record().value("hello").transform(shout);
//! assert_eq!(got, Verdict::replace().value("HELLO"));
//! ```

use crate::frame::{Frame, HEADERS, HEADER_LEN, KEY, RECORD_LEN, TIMESTAMP, VALUE};
use crate::{Context, Headers, Record, Refusal, Verdict};

/// A record with null key, null value, no headers, timestamp 0.
pub fn record() -> TestRecord {
    TestRecord::default()
}

/// A record that a test makes.
#[derive(Clone, Debug, Default)]
pub struct TestRecord {
    index: Option<u32>,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Headers,
}

impl TestRecord {
    /// Sets the key.
    pub fn key(mut self, key: impl Into<Vec<u8>>) -> TestRecord {
        self.key = Some(key.into());
        self
    }

    /// Sets the value.
    pub fn value(mut self, value: impl Into<Vec<u8>>) -> TestRecord {
        self.value = Some(value.into());
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> TestRecord {
        self.headers.push(name.as_bytes(), Some(value.as_ref()));
        self
    }

    /// Adds a header whose value is null.
    pub fn null_header(mut self, name: &str) -> TestRecord {
        self.headers.push(name.as_bytes(), None);
        self
    }

    /// Sets the timestamp, in milliseconds since 1970.
    pub fn timestamp(mut self, timestamp: i64) -> TestRecord {
        self.timestamp = timestamp;
        self
    }

    /// Sets the index in the batch; without it, the place in the frame.
    pub fn index(mut self, index: u32) -> TestRecord {
        self.index = Some(index);
        self
    }

    /// The verdict of a `transform` function for this record alone, all parts
    /// framed.
    pub fn transform(self, hook: impl FnOnce(&Context, &Record) -> Verdict) -> Verdict {
        self.with(hook)
    }

    /// The result of a `validate` function for this record alone.
    pub fn validate(
        self,
        hook: impl FnOnce(&Context, &Record) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        self.with(hook)
    }

    fn with<T>(self, hook: impl FnOnce(&Context, &Record) -> T) -> T {
        let bytes = TestFrame::new("test").record(self).encode();
        let (head, rest) = bytes.split_at(HEADER_LEN);
        let mut frame = Frame::read(head, rest).expect("a frame that was just made");
        let context = frame.context;
        hook(&context, &frame.record().expect("its record"))
    }
}

/// A frame as the broker makes it.
#[derive(Clone, Debug)]
pub struct TestFrame {
    /// Bits of the framed parts: 1 key, 2 value, 4 headers, 8 timestamp.
    pub parts: u32,
    /// The leader's clock.
    pub append_time: i64,
    /// The batch's random number.
    pub seed: u64,
    /// The generation of the chain.
    pub generation: u64,
    /// The partition.
    pub partition: i32,
    /// Bytes added to the frame's header, as a later version may do.
    pub more_header: usize,
    /// Bytes added to every record's fixed part, as a later version may do.
    pub more_fixed: usize,
    topic: Vec<u8>,
    records: Vec<TestRecord>,
}

impl TestFrame {
    /// A frame without records, with all parts.
    pub fn new(topic: &str) -> TestFrame {
        TestFrame {
            parts: KEY | VALUE | HEADERS | TIMESTAMP,
            append_time: 0,
            seed: 0,
            generation: 0,
            partition: 0,
            more_header: 0,
            more_fixed: 0,
            topic: topic.as_bytes().to_vec(),
            records: Vec::new(),
        }
    }

    /// Adds a record.
    pub fn record(mut self, record: TestRecord) -> TestFrame {
        self.records.push(record);
        self
    }

    /// The frame's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let fixed = RECORD_LEN + self.more_fixed;
        word(&mut out, HEADER_LEN + self.more_header);
        word(&mut out, fixed);
        word(&mut out, self.records.len());
        word(&mut out, self.parts as usize);
        out.extend_from_slice(&self.append_time.to_le_bytes());
        out.extend_from_slice(&self.seed.to_le_bytes());
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.extend_from_slice(&self.partition.to_le_bytes());
        word(&mut out, self.topic.len());
        out.resize(HEADER_LEN + self.more_header, 0);
        out.extend_from_slice(&self.topic);
        pad(&mut out);
        for (i, record) in self.records.iter().enumerate() {
            self.encode_record(&mut out, i, record);
        }
        out
    }

    fn encode_record(&self, out: &mut Vec<u8>, place: usize, record: &TestRecord) {
        let framed = |part: u32| self.parts & part != 0;
        let start = out.len();
        let len = |p: &Option<Vec<u8>>| p.as_ref().map_or(-1i32, |p| p.len() as i32) as usize;
        word(out, 0);
        word(out, record.index.map_or(place, |i| i as usize));
        let timestamp = if framed(TIMESTAMP) {
            record.timestamp
        } else {
            0
        };
        out.extend_from_slice(&timestamp.to_le_bytes());
        word(out, if framed(KEY) { len(&record.key) } else { 0 });
        word(out, if framed(VALUE) { len(&record.value) } else { 0 });
        let (count, headers) = if framed(HEADERS) {
            record.headers.raw()
        } else {
            (0, &[][..])
        };
        word(out, count as usize);
        word(out, headers.len());
        out.resize(out.len() + self.more_fixed, 0);
        for (part, bytes) in [(KEY, &record.key), (VALUE, &record.value)] {
            if framed(part) {
                out.extend_from_slice(bytes.as_deref().unwrap_or(&[]));
            }
        }
        out.extend_from_slice(headers);
        pad(out);
        let length = ((out.len() - start) as u32).to_le_bytes();
        out[start..start + 4].copy_from_slice(&length);
    }
}

fn word(out: &mut Vec<u8>, value: usize) {
    out.extend_from_slice(&(value as u32).to_le_bytes());
}

fn pad(out: &mut Vec<u8>) {
    out.resize((out.len() + 7) & !7, 0);
}
