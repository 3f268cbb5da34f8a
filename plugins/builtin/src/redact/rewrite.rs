//! One pass over a JSON text that replaces scalars at and below given paths.

use varve_sdk::json::{Error, Path, Reader, Token};

/// The paths, at most 64, so that a set of them is one word.
#[derive(Default)]
pub struct Fields(Vec<Path>);

impl Fields {
    /// Adds a path; `None` if there are too many.
    pub fn add(&mut self, path: Path) -> Option<()> {
        if self.0.len() == 64 {
            return None;
        }
        self.0.push(path);
        Some(())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn all(&self) -> u64 {
        u64::MAX >> (64 - self.0.len().max(1))
    }
}

/// An object or array that is open.
#[derive(Clone, Copy)]
struct Open {
    /// How many names lead to it; an array counts for nothing.
    names: usize,
    /// The fields that those names begin.
    begun: u64,
    /// The fields that they and the name of the value to come begin.
    next: u64,
}

/// The text with the scalars at and below the fields replaced by `replacement`,
/// a JSON text itself; `None` if there are none. null stays null.
///
/// A field is replaced wherever its name stands, so also where names repeat or
/// are written with escapes.
pub fn rewrite(src: &[u8], fields: &Fields, replacement: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let mut reader = Reader::new(src);
    let mut out: Option<Vec<u8>> = None;
    let mut copied = 0;
    let mut open: Vec<Open> = Vec::with_capacity(8);
    let mut hit = false; // the value to come is at a field
    let mut below = 0; // the depth of what is redacted as a whole, 0 if nothing
    while let Some(token) = reader.next_token()? {
        let depth = reader.depth();
        let next = open.last().map_or(fields.all(), |o| o.next);
        let names = open.last().map_or(0, |o| o.names);
        match token {
            Token::Key(_) if below != 0 => continue,
            Token::Key(name) => {
                if let Some(top) = open.last_mut() {
                    let is = |text: &str| name.is(text);
                    let (begun, full) = advance(fields, top.begun, top.names - 1, is);
                    top.next = begun;
                    hit = full;
                }
                continue;
            }
            Token::ObjectStart | Token::ArrayStart if below != 0 => {}
            Token::ObjectStart | Token::ArrayStart if hit => below = depth,
            Token::ObjectStart => open.push(Open {
                names: names + 1,
                begun: next,
                next: 0,
            }),
            Token::ArrayStart => open.push(Open {
                names,
                begun: next,
                next,
            }),
            Token::ObjectEnd | Token::ArrayEnd if below != 0 => {
                if depth < below {
                    below = 0;
                }
            }
            Token::ObjectEnd | Token::ArrayEnd => {
                open.pop();
            }
            Token::Null => {}
            Token::String(_) | Token::Number(_) | Token::Bool(_) => {
                if hit || below != 0 {
                    let span = reader.span();
                    let out = out.get_or_insert_with(|| Vec::with_capacity(src.len() + 64));
                    out.extend_from_slice(&src[copied..span.start]);
                    out.extend_from_slice(replacement);
                    copied = span.end;
                }
            }
        }
        hit = false;
    }
    Ok(out.map(|mut out| {
        out.extend_from_slice(&src[copied..]);
        out
    }))
}

/// The fields of `begun` whose name number `at` is the given one, and whether
/// it is the last name of one of them.
fn advance(fields: &Fields, begun: u64, at: usize, is: impl Fn(&str) -> bool) -> (u64, bool) {
    let (mut next, mut full) = (0, false);
    let mut left = begun;
    while left != 0 {
        let i = left.trailing_zeros() as usize;
        left &= left - 1;
        let names = fields.0[i].names();
        if is(&names[at]) {
            if names.len() == at + 1 {
                full = true;
            } else {
                next |= 1 << i;
            }
        }
    }
    (next, full)
}
