//! The allocator of a module: blocks of powers of two, cut from the end of
//! memory, and a list of free blocks per size.
//!
//! An instance is set back after every call, so nothing is ever given back to
//! the broker. Freed blocks are used again within a call, because every page
//! that a call writes is a page that the reset has to restore.

/// Where a module's heap stands. The arithmetic is apart from the memory, so
/// that it is tested natively.
#[cfg_attr(not(any(test, target_arch = "wasm32")), allow(dead_code))]
pub(crate) struct Region {
    top: usize,
    end: usize,
}

#[cfg_attr(not(any(test, target_arch = "wasm32")), allow(dead_code))]
impl Region {
    pub(crate) const PAGE: usize = 65536;

    pub(crate) const fn new(top: usize, end: usize) -> Region {
        Region { top, end }
    }

    /// Cuts `size` bytes, aligned to `align`. `grow` adds pages to the memory
    /// and returns the number there was before, or `None`.
    pub(crate) fn cut(
        &mut self,
        size: usize,
        align: usize,
        mut grow: impl FnMut(usize) -> Option<usize>,
    ) -> Option<usize> {
        // Two turns: growth by somebody else can cut the region in two once.
        for _ in 0..2 {
            let start = self.top.checked_add(align - 1)? & !(align - 1);
            let stop = start.checked_add(size)?;
            if stop <= self.end {
                self.top = stop;
                return Some(start);
            }
            let pages = (stop - self.end + Self::PAGE - 1) / Self::PAGE;
            let before = grow(pages)?.checked_mul(Self::PAGE)?;
            if before != self.end {
                self.top = before;
            }
            // The last page of a full memory ends where usize does.
            self.end = before.saturating_add(pages.checked_mul(Self::PAGE)?);
        }
        let start = self.top.checked_add(align - 1)? & !(align - 1);
        let stop = start.checked_add(size)?;
        if stop > self.end {
            return None;
        }
        self.top = stop;
        Some(start)
    }

    /// Whether the block is the last that was cut.
    pub(crate) fn is_last(&self, at: usize, size: usize) -> bool {
        at + size == self.top
    }

    /// Gives the last block back.
    pub(crate) fn uncut(&mut self, at: usize) {
        self.top = at;
    }
}

/// The size of the block for `size` bytes, `None` if there is none.
#[cfg_attr(not(any(test, target_arch = "wasm32")), allow(dead_code))]
pub(crate) fn block(size: usize) -> Option<usize> {
    if size <= 16 {
        return Some(16);
    }
    size.checked_next_power_of_two()
}

#[cfg(target_arch = "wasm32")]
pub(crate) mod heap {
    use super::{block, Region};
    use core::alloc::{GlobalAlloc, Layout};
    use core::cell::UnsafeCell;
    use core::ptr::null_mut;

    const MIN_ALIGN: usize = 16;

    struct State {
        region: Region,
        free: [usize; 32],
    }

    pub(crate) struct Heap(UnsafeCell<State>);

    // The instance is called by one thread at a time and has none of its own.
    unsafe impl Sync for Heap {}

    #[global_allocator]
    pub(crate) static HEAP: Heap = Heap(UnsafeCell::new(State {
        region: Region::new(0, 0),
        free: [0; 32],
    }));

    extern "C" {
        static __heap_base: u8;
    }

    fn grow(pages: usize) -> Option<usize> {
        match core::arch::wasm32::memory_grow::<0>(pages) {
            usize::MAX => None,
            before => Some(before),
        }
    }

    impl State {
        fn cut(&mut self, size: usize, align: usize) -> *mut u8 {
            if self.region.is_last(0, 0) {
                let base = unsafe { &__heap_base as *const u8 as usize };
                let size = core::arch::wasm32::memory_size::<0>();
                self.region = Region::new(base, size.saturating_mul(Region::PAGE));
            }
            match self.region.cut(size, align.max(MIN_ALIGN), grow) {
                Some(at) => at as *mut u8,
                None => null_mut(),
            }
        }
    }

    impl Heap {
        /// Exactly `size` bytes, aligned to 16 and never freed; null if there
        /// are none.
        pub(crate) fn frame(&self, size: usize) -> *mut u8 {
            if size > isize::MAX as usize {
                return null_mut();
            }
            unsafe { (*self.0.get()).cut(size, MIN_ALIGN) }
        }
    }

    unsafe impl GlobalAlloc for Heap {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            let state = &mut *self.0.get();
            let size = match block(layout.size()) {
                Some(size) => size,
                None => return null_mut(),
            };
            let list = size.trailing_zeros() as usize;
            let first = state.free[list];
            if first != 0 && layout.align() <= MIN_ALIGN {
                state.free[list] = *(first as *const usize);
                return first as *mut u8;
            }
            state.cut(size, layout.align())
        }

        unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
            let state = &mut *self.0.get();
            let size = match block(layout.size()) {
                Some(size) => size,
                None => return,
            };
            if state.region.is_last(ptr as usize, size) {
                state.region.uncut(ptr as usize);
                return;
            }
            let list = size.trailing_zeros() as usize;
            *(ptr as *mut usize) = state.free[list];
            state.free[list] = ptr as usize;
        }

        unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
            let (old, new) = match (block(layout.size()), block(new_size)) {
                (Some(old), Some(new)) => (old, new),
                _ => return null_mut(),
            };
            // A block that shrinks stays; it is freed as the smaller one.
            if new <= old {
                return ptr;
            }
            let state = &mut *self.0.get();
            if state.region.is_last(ptr as usize, old) {
                // The region can move if the memory was grown behind its back.
                let added = state.cut(new - old, 1);
                if added.is_null() {
                    return null_mut();
                }
                if added as usize == ptr as usize + old {
                    return ptr;
                }
                state.region.uncut(added as usize);
            }
            let moved = self.alloc(Layout::from_size_align_unchecked(new_size, layout.align()));
            if !moved.is_null() {
                core::ptr::copy_nonoverlapping(ptr, moved, layout.size());
                self.dealloc(ptr, layout);
            }
            moved
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{block, Region};

    #[test]
    fn blocks_are_powers_of_two() {
        for (size, want) in [
            (0, 16),
            (1, 16),
            (16, 16),
            (17, 32),
            (4096, 4096),
            (4097, 8192),
        ] {
            assert_eq!(block(size), Some(want), "{size}");
        }
        assert_eq!(block(usize::MAX), None);
    }

    #[test]
    fn cuts_are_aligned_and_adjacent() {
        let mut region = Region::new(1001, Region::PAGE);
        let never = |_| panic!("grew");
        assert_eq!(region.cut(100, 16, never), Some(1008));
        assert!(region.is_last(1008, 100));
        assert_eq!(region.cut(1, 8, never), Some(1112));
        region.uncut(1112);
        assert_eq!(region.cut(8, 8, never), Some(1112));
    }

    #[test]
    fn grows_by_what_is_missing() {
        let mut region = Region::new(0, Region::PAGE);
        let mut asked = Vec::new();
        let got = region.cut(3 * Region::PAGE + 1, 16, |pages| {
            asked.push(pages);
            Some(1)
        });
        assert_eq!((got, asked), (Some(0), vec![3]));
        assert_eq!(region.cut(Region::PAGE, 16, |_| None), None);
    }

    #[test]
    fn starts_again_behind_pages_of_somebody_else() {
        let mut region = Region::new(Region::PAGE - 16, Region::PAGE);
        let mut size = 5;
        let got = region.cut(2 * Region::PAGE, 16, |pages| {
            let before = size;
            size += pages;
            Some(before)
        });
        assert_eq!(got, Some(5 * Region::PAGE));
        assert!(5 * Region::PAGE + 2 * Region::PAGE <= size * Region::PAGE);
    }

    #[test]
    fn refuses_what_no_address_holds() {
        let mut region = Region::new(16, Region::PAGE);
        assert_eq!(region.cut(usize::MAX - 8, 16, |_| Some(1)), None);
    }
}
