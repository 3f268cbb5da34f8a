//! Reading a frame (SPEC, section 3). Nothing is copied: what a handler sees
//! borrows from the frame.

pub(crate) const KEY: u32 = 1;
pub(crate) const VALUE: u32 = 2;
pub(crate) const HEADERS: u32 = 4;
pub(crate) const TIMESTAMP: u32 = 8;

/// Bytes of the frame's header that this version knows.
pub(crate) const HEADER_LEN: usize = 64;
/// Bytes of a record's fixed part that this version knows.
pub(crate) const RECORD_LEN: usize = 32;
pub(crate) const CURSOR: usize = 48;
pub(crate) const OUT_PTR: usize = 52;
pub(crate) const OUT_LEN: usize = 56;

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let end = at.checked_add(4)?;
    Some(u32::from_le_bytes(bytes.get(at..end)?.try_into().ok()?))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let end = at.checked_add(8)?;
    Some(u64::from_le_bytes(bytes.get(at..end)?.try_into().ok()?))
}

/// What is known about all records of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context<'a> {
    topic: &'a str,
    partition: i32,
    append_time: i64,
    seed: u64,
    generation: u64,
    parts: u32,
}

impl<'a> Context<'a> {
    /// The topic's name.
    pub fn topic(&self) -> &'a str {
        self.topic
    }

    /// The partition's index.
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// The leader's clock in milliseconds since 1970, taken once per batch. It
    /// is the only clock.
    pub fn append_time(&self) -> i64 {
        self.append_time
    }

    /// A random number, one per batch and stored with it, so that a second run
    /// gives the same result.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The generation of the topic's chain.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    index: u32,
    timestamp: Option<i64>,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    header_count: u32,
    headers: &'a [u8],
}

impl<'a> Record<'a> {
    /// The record's index in the batch. Indexes ascend, with gaps where an
    /// earlier stage dropped a record.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The key; `None` if it is null or no part of the manifest.
    pub fn key(&self) -> Option<&'a [u8]> {
        self.key
    }

    /// The value; `None` if it is null or no part of the manifest.
    pub fn value(&self) -> Option<&'a [u8]> {
        self.value
    }

    /// Milliseconds since 1970; `None` if it is no part of the manifest.
    pub fn timestamp(&self) -> Option<i64> {
        self.timestamp
    }

    /// The headers in their order; none if they are no part of the manifest.
    pub fn headers(&self) -> HeaderIter<'a> {
        HeaderIter {
            left: self.header_count,
            bytes: self.headers,
        }
    }

    /// The last header of that name: where a name repeats, the last one counts.
    pub fn header(&self, name: &str) -> Option<Header<'a>> {
        self.headers().filter(|h| h.name == name.as_bytes()).last()
    }

    pub(crate) fn raw_headers(&self) -> (u32, &'a [u8]) {
        (self.header_count, self.headers)
    }
}

/// One header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The name, UTF-8 as a rule.
    pub name: &'a [u8],
    /// The value, `None` if it is null.
    pub value: Option<&'a [u8]>,
}

/// The headers of a record, in their order.
#[derive(Clone, Debug)]
pub struct HeaderIter<'a> {
    left: u32,
    bytes: &'a [u8],
}

impl<'a> Iterator for HeaderIter<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        if self.left == 0 {
            return None;
        }
        let name_len = u32_at(self.bytes, 0)?;
        let value_len = u32_at(self.bytes, 4)? as i32;
        let rest = self.bytes.get(8..)?;
        let name = rest.get(..name_len as usize)?;
        let rest = &rest[name.len()..];
        let value = part(rest, value_len)?;
        self.bytes = &rest[value.map_or(0, <[u8]>::len)..];
        self.left -= 1;
        Some(Header { name, value })
    }
}

/// The first `len` bytes of `bytes`, null if `len` is -1; `None` if they are
/// not there.
fn part(bytes: &[u8], len: i32) -> Option<Option<&[u8]>> {
    if len == -1 {
        return Some(None);
    }
    let len = usize::try_from(len).ok()?;
    bytes.get(..len).map(Some)
}

/// Where the records of a frame stand.
pub(crate) struct Frame<'a> {
    pub(crate) context: Context<'a>,
    pub(crate) count: u32,
    record_len: usize,
    next: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads the frame's header. `head` is its first HEADER_LEN bytes, `rest`
    /// what follows them. They come apart because the plugin writes into the
    /// first while records borrow from the second.
    pub(crate) fn read(head: &[u8], rest: &'a [u8]) -> Option<Frame<'a>> {
        let header_len = u32_at(head, 0)? as usize;
        let record_len = u32_at(head, 4)? as usize;
        if header_len < HEADER_LEN || record_len < RECORD_LEN || (header_len | record_len) % 8 != 0
        {
            return None;
        }
        let topic_len = u32_at(head, 44)? as usize;
        let rest = rest.get(header_len - HEADER_LEN..)?;
        let topic = rest.get(..topic_len)?;
        Some(Frame {
            context: Context {
                topic: std::str::from_utf8(topic).unwrap_or(""),
                partition: u32_at(head, 40)? as i32,
                append_time: u64_at(head, 16)? as i64,
                seed: u64_at(head, 24)?,
                generation: u64_at(head, 32)?,
                parts: u32_at(head, 12)?,
            },
            count: u32_at(head, 8)?,
            record_len,
            next: rest.get(topic_len.checked_add(7)? & !7..).unwrap_or(&[]),
        })
    }

    /// The next record, `None` if the frame is damaged or at its end.
    pub(crate) fn record(&mut self) -> Option<Record<'a>> {
        let length = u32_at(self.next, 0)? as usize;
        if length < self.record_len || length % 8 != 0 {
            return None;
        }
        let record = self.next.get(..length)?;
        let parts = self.context.parts;
        let body = &record[self.record_len..];
        let key = part(body, u32_at(record, 16)? as i32)?;
        let body = &body[key.map_or(0, <[u8]>::len)..];
        let value = part(body, u32_at(record, 20)? as i32)?;
        let body = &body[value.map_or(0, <[u8]>::len)..];
        let headers = body.get(..u32_at(record, 28)? as usize)?;
        self.next = &self.next[length..];
        Some(Record {
            index: u32_at(record, 4)?,
            timestamp: (parts & TIMESTAMP != 0).then(|| u64_at(record, 8).unwrap_or(0) as i64),
            key: key.filter(|_| parts & KEY != 0),
            value: value.filter(|_| parts & VALUE != 0),
            header_count: u32_at(record, 24)?,
            headers,
        })
    }
}
