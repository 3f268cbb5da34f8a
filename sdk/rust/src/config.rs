//! A cell for what `configure` made of the parameters.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Holds what `configure` made of a stage's parameters.
///
/// ```
/// use varve_sdk::Config;
///
/// static PREFIX: Config<String> = Config::new();
///
/// fn configure(_parameters: &[u8]) -> Result<(), String> {
///     PREFIX.set("eu-".to_string());
///     Ok(())
/// }
/// # configure(b"{}").unwrap();
/// # assert_eq!(PREFIX.get().unwrap(), "eu-");
/// ```
///
/// In a plugin it is set at most once, before the first record. Set again, as
/// tests do, it keeps the memory of what it held before.
pub struct Config<T: Send + Sync + 'static> {
    at: AtomicPtr<T>,
}

impl<T: Send + Sync + 'static> Config<T> {
    /// An empty cell.
    pub const fn new() -> Config<T> {
        Config {
            at: AtomicPtr::new(null_mut()),
        }
    }

    /// Sets the content. References from before stay valid.
    pub fn set(&self, value: T) {
        self.at
            .store(Box::into_raw(Box::new(value)), Ordering::Release);
    }

    /// The content, `None` before the first `set`.
    pub fn get(&self) -> Option<&'static T> {
        // A box that was stored is never freed, hence the lifetime.
        unsafe { self.at.load(Ordering::Acquire).as_ref() }
    }
}

impl<T: Send + Sync + 'static> Default for Config<T> {
    fn default() -> Config<T> {
        Config::new()
    }
}
