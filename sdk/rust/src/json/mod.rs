//! JSON for parameters and values, strict (RFC 8259) and without dependency.
//!
//! [`Json`] is a tree, for parameters. [`Reader`] gives one token after the
//! other with its place in the text and allocates nothing, for values. [`find`]
//! gets one scalar out of a value.

mod path;
mod reader;
mod tree;

pub use path::{find, Found, Path};
pub use reader::{Error, Reader, Text, Token, MAX_DEPTH};
pub use tree::{number_eq, Json};

/// Appends `text` as a JSON string with its quotes.
pub fn quote(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for &b in text.as_bytes() {
        match b {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', b]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..=0x1f => {
                let hex = [HEX[(b >> 4) as usize], HEX[(b & 15) as usize]];
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&hex);
            }
            _ => out.push(b),
        }
    }
    out.push(b'"');
}
