//! A JSON text as a tree.

use super::{Error, Reader, Token};

/// A JSON value. Objects keep the order of their members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number as it is written.
    Number(String),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object. A name may repeat; `get` gives the last.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads a text. Nests at most [`super::MAX_DEPTH`] deep.
    pub fn parse(src: &[u8]) -> Result<Json, Error> {
        // What is open, each with the name under which it will be put into
        // what holds it. A loop instead of recursion: a module's stack is small.
        let mut open: Vec<(String, Json)> = Vec::new();
        let mut name = String::new();
        let mut reader = Reader::new(src);
        let mut done = Json::Null;
        while let Some(token) = reader.next_token()? {
            let (as_name, value) = match token {
                Token::ObjectStart => {
                    open.push((std::mem::take(&mut name), Json::Object(Vec::new())));
                    continue;
                }
                Token::ArrayStart => {
                    open.push((std::mem::take(&mut name), Json::Array(Vec::new())));
                    continue;
                }
                Token::Key(text) => {
                    name = text.decode().into_owned();
                    continue;
                }
                Token::ObjectEnd | Token::ArrayEnd => match open.pop() {
                    Some(closed) => closed,
                    None => break,
                },
                Token::String(text) => (
                    std::mem::take(&mut name),
                    Json::String(text.decode().into_owned()),
                ),
                Token::Number(text) => (std::mem::take(&mut name), Json::Number(text.to_string())),
                Token::Bool(b) => (std::mem::take(&mut name), Json::Bool(b)),
                Token::Null => (std::mem::take(&mut name), Json::Null),
            };
            match open.last_mut() {
                Some((_, Json::Object(members))) => members.push((as_name, value)),
                Some((_, Json::Array(elements))) => elements.push(value),
                _ => done = value,
            }
        }
        Ok(done)
    }

    /// The member of that name; `None` if this is no object or has none. The
    /// last counts where a name repeats.
    pub fn get(&self, name: &str) -> Option<&Json> {
        let found = |m: &&(String, Json)| m.0 == name;
        self.as_object()?.iter().rev().find(found).map(|m| &m.1)
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Json::String(s) => Some(s),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Json::Bool(b) => Some(*b),
            _ => None,
        }
    }

    /// The number, if it is one that is written without point and exponent and
    /// fits.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Json::Number(n) => n.parse().ok(),
            _ => None,
        }
    }

    /// The number, if it is one.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Json::Number(n) => n.parse().ok(),
            _ => None,
        }
    }

    /// The elements, if it is an array.
    pub fn as_array(&self) -> Option<&[Json]> {
        match self {
            Json::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// The members in their order, if it is an object.
    pub fn as_object(&self) -> Option<&[(String, Json)]> {
        match self {
            Json::Object(members) => Some(members),
            _ => None,
        }
    }
}

/// Whether two JSON numbers are the same, exactly: 1, 1.0 and 10e-1 are.
/// Exponents beyond 18 digits are compared as they are written.
pub fn number_eq(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    match (Decimal::read(a), Decimal::read(b)) {
        (Some(a), Some(b)) => {
            a.exponent == b.exponent && a.negative == b.negative && a.digits().eq(b.digits())
        }
        _ => false,
    }
}

/// A number as 0.d1d2d3... * 10^exponent, d1 and the last digit not zero.
struct Decimal<'a> {
    negative: bool,
    mantissa: &'a [u8], // digits, perhaps with a point
    exponent: i64,
}

impl<'a> Decimal<'a> {
    fn read(text: &'a str) -> Option<Decimal<'a>> {
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
            Some(at) => {
                let exponent = &unsigned[at + 1..];
                if exponent.len() > 18 {
                    return None;
                }
                (&unsigned[..at], exponent.parse::<i64>().ok()?)
            }
            None => (unsigned, 0),
        };
        let mantissa = mantissa.as_bytes();
        let point = mantissa
            .iter()
            .position(|&b| b == b'.')
            .unwrap_or(mantissa.len());
        let zero = |b: &u8| *b == b'0' || *b == b'.';
        let first = match mantissa.iter().position(|b| !zero(b)) {
            Some(first) => first,
            None => {
                return Some(Decimal {
                    negative: false,
                    mantissa: &[],
                    exponent: 0,
                })
            }
        };
        let last = mantissa.iter().rposition(|b| !zero(b)).unwrap_or(first);
        let shift = point as i64 - first as i64 + (first > point) as i64;
        Some(Decimal {
            negative: unsigned.len() != text.len(),
            mantissa: &mantissa[first..=last],
            exponent: exponent + shift,
        })
    }

    fn digits(&self) -> impl Iterator<Item = &'a u8> {
        self.mantissa.iter().filter(|&&b| b != b'.')
    }
}
