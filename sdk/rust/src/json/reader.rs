//! Tokens of a JSON text, one at a time.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// How deep objects and arrays may nest.
pub const MAX_DEPTH: u32 = 64;

/// Where a text stops being JSON, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// The byte's offset.
    pub at: usize,
    /// What was expected.
    pub what: &'static str,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_message())
    }
}

impl std::error::Error for Error {}

impl Error {
    /// The error as a line that holds nothing of the text itself. It is made
    /// without the formatting machinery, which would double a small module.
    pub fn to_message(&self) -> String {
        let mut out = String::from(self.what);
        out.push_str(" at byte ");
        let mut digits = [0u8; 20];
        let mut first = digits.len();
        let mut n = self.at;
        loop {
            first -= 1;
            digits[first] = b'0' + (n % 10) as u8;
            n /= 10;
            if n == 0 {
                break;
            }
        }
        out.extend(digits[first..].iter().map(|&d| d as char));
        out
    }
}

impl From<Error> for String {
    fn from(error: Error) -> String {
        error.to_message()
    }
}

/// One token. Commas and colons are not tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// `{`
    ObjectStart,
    /// `}`
    ObjectEnd,
    /// `[`
    ArrayStart,
    /// `]`
    ArrayEnd,
    /// The name of a member; its value follows.
    Key(Text<'a>),
    /// A string.
    String(Text<'a>),
    /// A number as it is written.
    Number(&'a str),
    /// `true` or `false`
    Bool(bool),
    /// `null`
    Null,
}

/// A string as it is written, between its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    raw: &'a str,
    escaped: bool,
}

impl<'a> Text<'a> {
    /// Whether the string, escapes resolved, is `other`.
    pub fn is(&self, other: &str) -> bool {
        if !self.escaped {
            return self.raw == other;
        }
        let mut chars = other.chars();
        let mut same = true;
        self.unescape(|c| same = same && chars.next() == Some(c));
        same && chars.next().is_none()
    }

    /// The string, escapes resolved. Half a surrogate pair becomes U+FFFD.
    pub fn decode(&self) -> Cow<'a, str> {
        if !self.escaped {
            return Cow::Borrowed(self.raw);
        }
        let mut out = String::with_capacity(self.raw.len());
        self.unescape(|c| out.push(c));
        Cow::Owned(out)
    }

    fn unescape(&self, mut each: impl FnMut(char)) {
        let mut rest = self.raw;
        while let Some(at) = rest.find('\\') {
            rest[..at].chars().for_each(&mut each);
            let escape = &rest.as_bytes()[at..];
            let mut used = 2;
            each(match escape[1] {
                b'n' => '\n',
                b't' => '\t',
                b'r' => '\r',
                b'b' => '\x08',
                b'f' => '\x0c',
                b'u' => {
                    let (c, len) = unicode(escape);
                    used = len;
                    c
                }
                other => other as char,
            });
            rest = &rest[at + used..];
        }
        rest.chars().for_each(each);
    }
}

/// The character of a \u escape or of a pair of them, and its length.
fn unicode(escape: &[u8]) -> (char, usize) {
    let high = hex4(&escape[2..]).unwrap_or(0);
    if (0xd800..0xdc00).contains(&high) && escape.len() >= 12 && &escape[6..8] == b"\\u" {
        if let Some(low @ 0xdc00..=0xdfff) = hex4(&escape[8..]) {
            let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
            return (char::from_u32(code).unwrap_or('\u{fffd}'), 12);
        }
    }
    (char::from_u32(high).unwrap_or('\u{fffd}'), 6)
}

fn hex4(bytes: &[u8]) -> Option<u32> {
    let mut n = 0;
    for &b in bytes.get(..4)? {
        n = n << 4 | (b as char).to_digit(16)?;
    }
    Some(n)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Value,
    FirstElement,
    FirstKey,
    Key,
    AfterValue,
}

/// Reads a text token by token. After an error or the end it gives the same
/// again.
pub struct Reader<'a> {
    src: &'a [u8], // UTF-8
    at: usize,
    start: usize,
    depth: u32,
    objects: u64, // bit i: what is open at depth i+1 is an object
    state: State,
    error: Option<Error>,
}

impl<'a> Reader<'a> {
    /// A reader of one JSON text. A text that is not UTF-8 gives an error with
    /// the first token.
    pub fn new(src: &'a [u8]) -> Reader<'a> {
        let (src, error) = match std::str::from_utf8(src) {
            Ok(_) => (src, None),
            Err(e) => {
                let (at, what) = (e.valid_up_to(), "expected UTF-8");
                (&[][..], Some(Error { at, what }))
            }
        };
        Reader {
            src,
            at: 0,
            start: 0,
            depth: 0,
            objects: 0,
            state: State::Value,
            error,
        }
    }

    /// Where the last token stands, with its quotes or brackets; a name with its
    /// colon.
    pub fn span(&self) -> Range<usize> {
        self.start..self.at
    }

    /// How many objects and arrays are open.
    pub fn depth(&self) -> u32 {
        self.depth
    }

    /// The next token, `None` at the end of a complete text.
    pub fn next_token(&mut self) -> Result<Option<Token<'a>>, Error> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let token = self.advance();
        if let Err(error) = token {
            self.error = Some(error);
        }
        token
    }

    fn advance(&mut self) -> Result<Option<Token<'a>>, Error> {
        self.skip_space();
        if self.state == State::AfterValue {
            if self.depth == 0 {
                self.start = self.at;
                return match self.at == self.src.len() {
                    true => Ok(None),
                    false => self.fail("expected the end"),
                };
            }
            match (self.peek(), self.in_object()) {
                (b',', object) => {
                    self.at += 1;
                    self.skip_space();
                    self.state = if object { State::Key } else { State::Value };
                }
                (b'}', true) => return self.close(Token::ObjectEnd),
                (b']', false) => return self.close(Token::ArrayEnd),
                _ => return self.fail("expected a comma or the closing bracket"),
            }
        }
        self.start = self.at;
        match self.state {
            State::FirstKey if self.peek() == b'}' => self.close(Token::ObjectEnd),
            State::FirstElement if self.peek() == b']' => self.close(Token::ArrayEnd),
            State::FirstKey | State::Key => self.key().map(Some),
            _ => self.value().map(Some),
        }
    }

    fn key(&mut self) -> Result<Token<'a>, Error> {
        if self.peek() != b'"' {
            return self.fail("expected a name");
        }
        let text = self.string()?;
        self.skip_space();
        if self.peek() != b':' {
            return self.fail("expected a colon");
        }
        self.at += 1;
        self.state = State::Value;
        Ok(Token::Key(text))
    }

    fn value(&mut self) -> Result<Token<'a>, Error> {
        let token = match self.peek() {
            b'{' => return self.open(true),
            b'[' => return self.open(false),
            b'"' => Token::String(self.string()?),
            b'-' | b'0'..=b'9' => Token::Number(self.number()?),
            b't' => self.word("true", Token::Bool(true))?,
            b'f' => self.word("false", Token::Bool(false))?,
            b'n' => self.word("null", Token::Null)?,
            _ => return self.fail("expected a value"),
        };
        self.state = State::AfterValue;
        Ok(token)
    }

    fn open(&mut self, object: bool) -> Result<Token<'a>, Error> {
        if self.depth == MAX_DEPTH {
            return self.fail("nested too deep");
        }
        let bit = 1 << self.depth;
        self.objects = if object {
            self.objects | bit
        } else {
            self.objects & !bit
        };
        self.depth += 1;
        self.at += 1;
        let (state, token) = match object {
            true => (State::FirstKey, Token::ObjectStart),
            false => (State::FirstElement, Token::ArrayStart),
        };
        self.state = state;
        Ok(token)
    }

    fn close(&mut self, token: Token<'a>) -> Result<Option<Token<'a>>, Error> {
        self.start = self.at;
        self.at += 1;
        self.depth -= 1;
        self.state = State::AfterValue;
        Ok(Some(token))
    }

    fn in_object(&self) -> bool {
        self.depth > 0 && self.objects & (1 << (self.depth - 1)) != 0
    }

    fn word(&mut self, word: &str, token: Token<'a>) -> Result<Token<'a>, Error> {
        if !self.src[self.at..].starts_with(word.as_bytes()) {
            return self.fail("expected a value");
        }
        self.at += word.len();
        Ok(token)
    }

    fn string(&mut self) -> Result<Text<'a>, Error> {
        self.at += 1;
        let first = self.at;
        let mut escaped = false;
        loop {
            self.at += plain(&self.src[self.at..]);
            let len = match self.peek() {
                b'"' => break,
                b'\\' => match self.src.get(self.at + 1) {
                    Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
                    Some(b'u') if hex4(&self.src[self.at + 2..]).is_some() => 6,
                    _ => return self.fail("expected an escape"),
                },
                _ if self.at == self.src.len() => {
                    return self.fail("expected the end of the string")
                }
                _ => return self.fail("expected an escaped control character"),
            };
            escaped = true;
            self.at += len;
        }
        self.at += 1;
        let raw = self.text(first, self.at - 1);
        Ok(Text { raw, escaped })
    }

    /// A piece of the text that begins and ends at ASCII characters.
    fn text(&self, first: usize, end: usize) -> &'a str {
        let bytes = &self.src[first..end];
        // The whole text is UTF-8, and an ASCII byte is never inside of
        // another character.
        unsafe { std::str::from_utf8_unchecked(bytes) }
    }

    fn number(&mut self) -> Result<&'a str, Error> {
        let first = self.at;
        if self.peek() == b'-' {
            self.at += 1;
        }
        if self.peek() == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if let b'e' | b'E' = self.peek() {
            self.at += 1;
            if let b'+' | b'-' = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(self.text(first, self.at))
    }

    fn digits(&mut self) -> Result<(), Error> {
        let first = self.at;
        while self.peek().wrapping_sub(b'0') < 10 {
            self.at += 1;
        }
        if self.at == first {
            return self.fail("expected a digit");
        }
        Ok(())
    }

    #[inline(always)]
    fn skip_space(&mut self) {
        while self.peek() <= b' ' {
            match self.peek() {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                _ => break,
            }
        }
    }

    /// The byte to come. 0, which no token begins with, at the end.
    #[inline(always)]
    fn peek(&self) -> u8 {
        match self.src.get(self.at) {
            Some(&b) => b,
            None => 0,
        }
    }

    #[cold]
    fn fail<T>(&self, what: &'static str) -> Result<T, Error> {
        Err(Error { at: self.at, what })
    }
}

/// How many bytes stand before the first quote, backslash or control character.
/// Eight at a time, because instructions are paid for one by one and most of a
/// text goes through here.
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES * 0x80;
    let mut at = 0;
    while let Some(Ok(word)) = bytes.get(at..at + 8).map(<[u8; 8]>::try_from) {
        let w = u64::from_le_bytes(word);
        let (quote, backslash) = (w ^ ONES * 0x22, w ^ ONES * 0x5c);
        // The high bit of a byte is set where the byte is below 0x20, or where
        // a difference is 0; borrows spoil only bytes behind the first such.
        let hits = (w.wrapping_sub(ONES * 0x20) & !w)
            | (quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash);
        if hits & HIGH != 0 {
            return at + ((hits & HIGH).trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = &bytes[at..];
    let end = |&b: &u8| b < 0x20 || b == b'"' || b == b'\\';
    at + rest.iter().position(end).unwrap_or(rest.len())
}
