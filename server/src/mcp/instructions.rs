//! What a client shows its model with the tools of this server.

/// Shown to the model with the tools; clients cut it at 2 KB, so the loop comes first.
pub(crate) const INSTRUCTIONS: &str = include_str!("words/instructions.md").trim_ascii_end();

/// The same for the agent of an attempt, which has four tools and one ticket.
pub(crate) const WORKER_INSTRUCTIONS: &str =
    include_str!("words/instructions-of-workers.md").trim_ascii_end();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instructions_fit_what_clients_keep() {
        crate::snapshot::holds("instructions", INSTRUCTIONS);
        crate::snapshot::holds("instructions-of-workers", WORKER_INSTRUCTIONS);
        for text in [INSTRUCTIONS, WORKER_INSTRUCTIONS] {
            assert!(text.len() <= 2048, "{} bytes", text.len());
        }
    }
}
