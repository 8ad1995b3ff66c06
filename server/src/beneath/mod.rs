//! Files in places that agents can write, handled so that nothing there can lead elsewhere or make the server wait.
//!
//! An agent runs as the server's own user. It can put a symbolic link where a directory was, a pipe where a file was,
//! and take away its own right to remove what it made. A server that handled such a place by its path would change what
//! the link points to, or wait until a process writes into the pipe.
//!
//! - [`open`]: directories reached one component at a time, never through a link; files that are regular and of bounded
//!   size.
//! - [`remove()`]: whole directories removed, whatever their modes and however deep.
//! - [`make_room`]: whatever is in the place of a file of the server's own is put aside.
//! - [`walk()`]: visits everything below a directory.
//! - [`Copying`]: copies single files from one directory into another.
//!
//! Invariant: nothing here follows a symbolic link ([`Copying`] alone does, and only while it stays below the directory that it
//! copies from), enters what is mounted below the place it was given, opens anything
//! but a directory or a regular file, or waits.

mod aside;
mod copy;
mod open;
mod remove;
mod walk;

#[cfg(test)]
mod tests;

pub use self::aside::clear;
pub use self::aside::make_room;
pub use self::copy::Copied;
pub use self::copy::Copying;
pub use self::copy::files_below;
pub use self::open::Found;
pub use self::open::is_mount_point;
pub use self::open::look;
pub use self::open::make_directory;
pub use self::open::path_of;
pub use self::open::read_bytes;
pub use self::open::read_text;
pub use self::open::write_new;
pub use self::remove::open_up;
pub use self::remove::remove;
pub use self::walk::Access;
pub use self::walk::Kind;
pub use self::walk::walk;
