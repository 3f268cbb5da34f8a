//! Dotted paths.

use super::{Error, Reader, Token};

/// A path of member names: `user.ssn`, or `$.user.ssn`. `\.` is a point inside
/// a name, `\\` a backslash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    names: Vec<String>,
}

impl Path {
    /// Reads a path; `None` if a name is empty or a backslash stands alone.
    pub fn parse(text: &str) -> Option<Path> {
        let text = text.strip_prefix("$.").unwrap_or(text);
        let mut names = Vec::new();
        let mut name = String::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '.' if name.is_empty() => return None,
                '.' => names.push(std::mem::take(&mut name)),
                '\\' => match chars.next() {
                    Some(c @ ('.' | '\\')) => name.push(c),
                    _ => return None,
                },
                c => name.push(c),
            }
        }
        if name.is_empty() {
            return None;
        }
        names.push(name);
        Some(Path { names })
    }

    /// The names, at least one.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A string, number, bool or null.
    Scalar(Token<'a>),
    /// An object or array.
    Container,
}

/// Looks a path up, through objects only. Reads the whole text, so an error
/// behind the place is found too, and the last of repeated names counts.
pub fn find<'a>(src: &'a [u8], path: &Path) -> Result<Option<Found<'a>>, Error> {
    let names = path.names();
    let mut reader = Reader::new(src);
    let mut found = None;
    let mut matched = 0; // names on the way to here that match
    let mut hit = false; // the value that follows stands at a matching name
    while let Some(token) = reader.next_token()? {
        let depth = reader.depth() as usize;
        match token {
            Token::Key(name) => {
                // In the object at depth d, d-1 names lead to it.
                matched = matched.min(depth - 1);
                hit = matched == depth - 1 && matched < names.len() && name.is(&names[matched]);
                if hit {
                    matched += 1;
                    found = None;
                }
                continue;
            }
            Token::ObjectStart => {
                if hit && matched == names.len() {
                    found = Some(Found::Container);
                }
            }
            Token::ArrayStart => {
                if hit && matched == names.len() {
                    found = Some(Found::Container);
                }
                // Nothing inside an array is at the path.
                skip(&mut reader)?;
            }
            Token::ObjectEnd | Token::ArrayEnd => {}
            scalar => {
                if hit && matched == names.len() {
                    found = Some(Found::Scalar(scalar));
                }
            }
        }
        hit = false;
    }
    Ok(found)
}

/// Reads to the end of the array or object that was just opened.
fn skip(reader: &mut Reader) -> Result<(), Error> {
    let outside = reader.depth() - 1;
    while reader.depth() > outside {
        reader.next_token()?;
    }
    Ok(())
}
