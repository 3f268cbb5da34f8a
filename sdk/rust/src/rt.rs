//! What the `plugin!` macro calls. Not an interface for plugins.

use crate::frame::{Context, Frame, Record, CURSOR, HEADER_LEN, OUT_LEN, OUT_PTR};
use crate::verdict::{Refusal, Verdict};
use std::sync::atomic::{compiler_fence, Ordering};

/// The manifest as an array, for the custom section.
pub const fn section<const N: usize>(manifest: &str) -> [u8; N] {
    let bytes = manifest.as_bytes();
    let mut out = [0; N];
    let mut i = 0;
    while i < N {
        out[i] = bytes[i];
        i += 1;
    }
    out
}

/// The verdict of a `validate` function.
pub fn checked(result: Result<(), Refusal>) -> Verdict {
    match result {
        Ok(()) => Verdict::keep(),
        Err(refusal) => refusal.into(),
    }
}

/// The words of the frame's header that the plugin writes. The broker reads
/// them after a trap, at any instruction, so every store has to happen, and
/// after what was written before it.
struct Marks<'a>(&'a mut [u8; HEADER_LEN]);

impl Marks<'_> {
    #[inline(always)]
    fn store(&mut self, at: usize, value: u32) {
        assert!(at + 4 <= HEADER_LEN); // a constant: nothing is left of it
        compiler_fence(Ordering::SeqCst);
        // In a module the frame is aligned to 8; in tests it need not be, and
        // an array has no alignment.
        #[cfg(target_arch = "wasm32")]
        unsafe {
            self.0
                .as_mut_ptr()
                .add(at)
                .cast::<u32>()
                .write_volatile(value)
        };
        #[cfg(not(target_arch = "wasm32"))]
        unsafe {
            let word = self.0.as_mut_ptr().add(at).cast::<[u8; 4]>();
            word.write_volatile(value.to_le_bytes())
        };
        compiler_fence(Ordering::SeqCst);
    }

    /// Says that `verdicts` hold those of the records before `cursor`, and that
    /// the next one is being handled. Nothing comes between the two stores, so
    /// fuel is not used up between them either: it is taken before both.
    #[inline(always)]
    fn advance(&mut self, cursor: u32, verdicts: usize) {
        self.store(OUT_LEN, verdicts as u32);
        self.store(CURSOR, cursor);
    }
}

/// Handles every record of a frame. Returns false if the frame is damaged; the
/// verdicts that are there stand.
///
/// At every moment `out_ptr` and `out_len` name whole verdicts of the records
/// before `cursor`, so that a trap costs one record.
pub fn run(
    frame: &mut [u8],
    out: &mut Vec<u8>,
    mut hook: impl FnMut(&Context, &Record) -> Verdict,
) -> bool {
    out.clear();
    if frame.len() < HEADER_LEN {
        return false;
    }
    let (head, rest) = frame.split_at_mut(HEADER_LEN);
    let mut records = match Frame::read(head, rest) {
        Some(records) => records,
        None => return false,
    };
    let context = records.context;
    let mut marks = match head.try_into() {
        Ok(head) => Marks(head),
        Err(_) => return false,
    };
    marks.advance(0, 0);
    // A damaged count must not reserve more than the frame could need.
    out.reserve((records.count as usize).min(rest.len() / 32));
    marks.store(OUT_PTR, out.as_ptr() as usize as u32);
    for i in 0..records.count {
        let record = match records.record() {
            Some(record) => record,
            None => return false,
        };
        marks.advance(i, out.len());
        let verdict = hook(&context, &record);
        make_room(out, verdict.size(), &mut marks);
        verdict.encode(out);
    }
    true
}

/// Makes room for `more` bytes. Where the verdicts move, the broker learns of
/// the new place before the old one is freed.
fn make_room(out: &mut Vec<u8>, more: usize, marks: &mut Marks) {
    if out.capacity() - out.len() >= more {
        return;
    }
    let mut moved = Vec::with_capacity((out.capacity() * 2).max(out.len() + more).max(64));
    moved.extend_from_slice(out);
    marks.store(OUT_PTR, moved.as_ptr() as usize as u32);
    *out = moved;
}

#[cfg(target_arch = "wasm32")]
pub mod wasm {
    //! The exports of a module, apart from their names.

    use super::{run, Context, Record, Verdict};
    use core::ptr::addr_of_mut;

    /// The verdicts of the last call.
    static mut OUT: Vec<u8> = Vec::new();

    /// Memory for a frame or for parameters; 0 if there is none.
    pub fn alloc(size: u32) -> u32 {
        crate::alloc::heap::HEAP.frame(size as usize) as u32
    }

    /// Calls a hook for every record of the frame at `ptr`. The broker owns the
    /// frame and no other reference to it exists.
    pub unsafe fn call(ptr: u32, len: u32, hook: impl FnMut(&Context, &Record) -> Verdict) -> u64 {
        if ptr == 0 || ptr % 8 != 0 {
            return 0;
        }
        let frame = core::slice::from_raw_parts_mut(ptr as *mut u8, len as usize);
        let out = &mut *addr_of_mut!(OUT);
        run(frame, out, hook);
        (out.as_ptr() as u64) << 32 | out.len() as u64
    }

    /// Passes the parameters to `configure`; 0 is success.
    pub unsafe fn parameters(ptr: u32, len: u32, configure: impl FnOnce(&[u8]) -> bool) -> u32 {
        let bytes = match ptr {
            0 => &[],
            _ => core::slice::from_raw_parts(ptr as *const u8, len as usize),
        };
        !configure(bytes) as u32
    }
}
