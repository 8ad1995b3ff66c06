//! The run directory, as the shim makes it: its locks, the grant, the prompt, the exit record.
//!
//! - `open`: makes one, or finds out what an existing one means; `make`, `lock`: its steps.
//! - `dir`: what is stored in it.

mod dir;
mod error;
mod lock;
mod make;
mod open;
#[cfg(test)]
mod tests;

pub use dir::RunDir;
pub use error::StoreError;
pub use lock::lock;
pub use open::Opened;
pub use open::open;
