//! Rebuilds the server when a migration changes: `sqlx::migrate!` embeds the folder at compile time and
//! cargo cannot see that on its own.
fn main() {
    println!("cargo::rerun-if-changed=../migrations");
}
