//! Snapshots of the texts that users, operators and models read, in `server/snapshots`, where a change of words is one
//! reviewable diff. Each list of texts is exhaustive by construction: a new variant fails the build or its test until it
//! has an example.
//!
//! `INSTA_UPDATE=always cargo test -p vibe-ensemble-server` writes what the code says now.

/// Holds `text` against the snapshot `name`.
pub(crate) fn holds(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}
