//! Lines for the broker's log. Needs the capability `log` in the manifest and
//! granted to the stage; a plugin that uses this module without asking for it
//! is refused when it is uploaded.
//!
//! At most 1,024 bytes of a line and 16 lines of a call are written.

/// Writes a line of level debug.
pub fn debug(line: &str) {
    write(0, line)
}

/// Writes a line of level info.
pub fn info(line: &str) {
    write(1, line)
}

/// Writes a line of level warning.
pub fn warn(line: &str) {
    write(2, line)
}

/// Writes a line of level error.
pub fn error(line: &str) {
    write(3, line)
}

#[cfg(target_arch = "wasm32")]
fn write(level: i32, line: &str) {
    #[link(wasm_import_module = "varve")]
    extern "C" {
        fn log(level: i32, ptr: *const u8, len: usize);
    }
    unsafe { log(level, line.as_ptr(), line.len()) }
}

#[cfg(not(target_arch = "wasm32"))]
fn write(level: i32, line: &str) {
    eprintln!(
        "{} {}",
        ["debug", "info", "warn", "error"][level as usize],
        line
    )
}
