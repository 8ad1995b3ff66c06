//! What to do with an attempt the server finds after a start, or whose link broke: decided from evidence alone.
//!
//! Time is no evidence. A shim that was stopped, swapped out or slept through a suspend looks exactly like a dead one
//! to a clock; its lock does not.

/// Whether somebody holds a lock file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    Held,
    Free,
    /// The file could not be looked at.
    Unknown,
}

/// What the run directory contains under `exit.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// A record of this attempt.
    Sealed,
    Absent,
    /// Unreadable, malformed, or of another attempt.
    Contradictory,
}

/// Whether processes of the attempt are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tree {
    Gone,
    /// `tree.lock` is held or a process carries the attempt's id.
    Alive,
    Unknown,
}

/// The evidence about one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    pub record: Record,
    /// The lock the shim holds for its whole life.
    pub shim: Lock,
    pub tree: Tree,
    /// Its ticket is closed or its worker was told to stop at once: nobody waits for its result.
    pub unwanted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The result is there: commit it.
    Collect,
    /// The shim lives and will dial in.
    AwaitShim,
    /// The shim is dead and its tree is not: end the tree, then look again.
    StopTree,
    /// Nothing of it is left and nothing was recorded.
    DeclareLost,
    /// The evidence contradicts itself: keep everything, show it, never guess.
    Suspect,
}

/// Judges one attempt.
#[must_use]
pub fn judge(facts: Facts) -> Judgement {
    match (facts.record, facts.shim, facts.tree) {
        // A sealed record is final even while its shim lives: the shim will hear "duplicate" and go on.
        (Record::Sealed, _, _) => Judgement::Collect,
        (Record::Absent | Record::Contradictory, Lock::Held, _) => Judgement::AwaitShim,
        (Record::Absent, Lock::Free, Tree::Alive) => Judgement::StopTree,
        (Record::Absent, Lock::Free, Tree::Gone) => Judgement::DeclareLost,
        // Whatever it says, somebody has decided without it, and nothing runs that could do harm.
        (Record::Contradictory, Lock::Free, Tree::Gone) if facts.unwanted => Judgement::DeclareLost,
        (Record::Contradictory, Lock::Free, Tree::Alive) if facts.unwanted => Judgement::StopTree,
        (Record::Contradictory, Lock::Free | Lock::Unknown, _)
        | (Record::Absent, Lock::Unknown, _)
        | (Record::Absent, Lock::Free, Tree::Unknown) => Judgement::Suspect,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_table() {
        use Judgement as J;
        for record in [Record::Sealed, Record::Absent, Record::Contradictory] {
            for shim in [Lock::Held, Lock::Free, Lock::Unknown] {
                for tree in [Tree::Gone, Tree::Alive, Tree::Unknown] {
                    for unwanted in [false, true] {
                        let expected = match (record, shim, tree) {
                            (Record::Sealed, ..) => J::Collect,
                            (_, Lock::Held, _) => J::AwaitShim,
                            (Record::Absent, Lock::Free, Tree::Gone) => J::DeclareLost,
                            (Record::Absent, Lock::Free, Tree::Alive) => J::StopTree,
                            (_, Lock::Free, Tree::Gone) if unwanted => J::DeclareLost,
                            (_, Lock::Free, Tree::Alive) if unwanted => J::StopTree,
                            (Record::Absent | Record::Contradictory, ..) => J::Suspect,
                        };
                        let facts = Facts { record, shim, tree, unwanted };
                        assert_eq!(judge(facts), expected, "{facts:?}");
                    }
                }
            }
        }
    }
}
