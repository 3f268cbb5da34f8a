//! Varve plugins in Rust: one function per record.
//!
//! ```
//! use varve_sdk::{Context, Record, Verdict};
//!
//! fn shout(_: &Context, record: &Record) -> Verdict {
//!     match record.value() {
//!         Some(value) => Verdict::replace().value(value.to_ascii_uppercase()),
//!         None => Verdict::keep(),
//!     }
//! }
//!
//! varve_sdk::plugin! {
//!     manifest: r#"{"name": "shout", "version": "1.0.0",
//!                   "hooks": ["transform"], "parts": ["value"]}"#,
//!     transform: shout,
//! }
//! # fn main() {}
//! ```
//!
//! The contract behind it is `wasm/abi/SPEC.md`. What matters to an author:
//!
//! 1. The broker passes a run of records per call; the SDK calls the function
//!    once for each, in order.
//! 2. After every call the instance is set back to what it was after
//!    `configure`: nothing is kept from one call to the next.
//! 3. A panic costs one record, not the batch: it fails, the others go on.
//! 4. A part that the manifest does not name is not copied in and reads as
//!    `None`.
//!
//! The crate has no dependency and builds with rustc 1.63 and later. Everything
//! but the exports compiles natively, so that a plugin is tested with
//! `cargo test`; [`testing`] makes the records.

mod alloc;
mod config;
mod frame;
pub mod json;
pub mod log;
#[doc(hidden)]
pub mod rt;
pub mod testing;
mod verdict;

pub use config::Config;
pub use frame::{Context, Header, HeaderIter, Record};
pub use verdict::{Headers, Refusal, Verdict};

/// Makes the crate a plugin: exports the hooks and puts the manifest into the
/// module.
///
/// `manifest` is a string literal or a constant. `transform` is a
/// `fn(&Context, &Record) -> Verdict`, `validate` a
/// `fn(&Context, &Record) -> Result<(), Refusal>`; at least one is needed.
/// `configure` is optional: a `fn(&[u8]) -> Result<(), E>` that gets the
/// stage's parameters as JSON; an error refuses them. The entries stand in the
/// order manifest, transform, validate, configure. To be used once, at the root
/// of a `cdylib` crate.
#[macro_export]
macro_rules! plugin {
    (manifest: $manifest:expr
     $(, transform: $transform:path)?
     $(, validate: $validate:path)?
     $(, configure: $configure:path)?
     $(,)?) => {
        /// The manifest, as it stands in the module.
        pub const VARVE_MANIFEST: &str = $manifest;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            #[link_section = "varve.plugin"]
            #[used]
            static SECTION: [u8; VARVE_MANIFEST.len()] = $crate::rt::section(VARVE_MANIFEST);

            #[no_mangle]
            pub extern "C" fn varve_abi_1() {}

            #[no_mangle]
            pub extern "C" fn varve_alloc(size: u32) -> u32 {
                $crate::rt::wasm::alloc(size)
            }

            $(#[no_mangle]
            pub unsafe extern "C" fn varve_transform(ptr: u32, len: u32) -> u64 {
                $crate::rt::wasm::call(ptr, len, |context, record| $transform(context, record))
            })?

            $(#[no_mangle]
            pub unsafe extern "C" fn varve_validate(ptr: u32, len: u32) -> u64 {
                $crate::rt::wasm::call(ptr, len, |context, record| {
                    $crate::rt::checked($validate(context, record))
                })
            })?

            $(#[no_mangle]
            pub unsafe extern "C" fn varve_configure(ptr: u32, len: u32) -> u32 {
                $crate::rt::wasm::parameters(ptr, len, |bytes| $configure(bytes).is_ok())
            })?
        };

        // Natively the functions are checked and not reported as unused.
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            $(#[used]
            static TRANSFORM: fn(&$crate::Context, &$crate::Record) -> $crate::Verdict =
                |context, record| $transform(context, record);)?

            $(#[used]
            static VALIDATE: fn(
                &$crate::Context,
                &$crate::Record,
            ) -> ::std::result::Result<(), $crate::Refusal> =
                |context, record| $validate(context, record);)?

            $(#[used]
            static CONFIGURE: fn(&[u8]) -> bool = |bytes| $configure(bytes).is_ok();)?
        };
    };
}
