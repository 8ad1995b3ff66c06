//! What to do with an attempt that the server finds after a start, or whose link broke: decided by
//! evidence alone.
//!
//! Elapsed time is not evidence. To a clock, a shim that was suspended, swapped out or asleep with
//! the machine looks exactly like a dead one; to its lock it does not.

/// Whether somebody holds a lock file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    Held,
    /// It exists, is the file that the shim locked, and is not held.
    Free,
    /// It was removed or replaced, or another process took it, which proves nothing: the shim may still be there.
    Gone,
    /// The file could not be read.
    Unknown,
}

/// The fate of the process that introduced itself for a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// That very process is there.
    Running,
    /// It is gone, or its number belongs to another process by now.
    Ended,
    /// Unknown.
    Unknown,
}

/// Whether a worker's shim is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Alive,
    Dead,
    Unknown,
}

/// Judges a shim by the lock that it holds for life, and by its process only where the lock file is not evidence. A
/// lock is evidence wherever the shim runs; a process only where it can be seen.
#[must_use]
pub fn life(lock: Lock, process: Process) -> Life {
    match (lock, process) {
        (Lock::Held, _) | (Lock::Gone | Lock::Unknown, Process::Running) => Life::Alive,
        (Lock::Free, _) | (Lock::Gone | Lock::Unknown, Process::Ended) => Life::Dead,
        (Lock::Gone | Lock::Unknown, Process::Unknown) => Life::Unknown,
    }
}

/// What the run directory contains under `exit.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// A record of this attempt, signed by its shim.
    Sealed,
    /// A record of this attempt, by a shim that cannot sign. Any process of the same user can write one, so it is
    /// accepted only once shim and tree are gone, as they are when a shim seals.
    Unproven,
    Absent,
    /// Something that its shim, which signs its records, has not signed for this attempt: it proves nothing. It need not
    /// even be a file.
    Unsigned,
    /// It cannot be read, or it is of a shim that cannot sign and says that it belongs to another attempt.
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
    pub shim: Life,
    pub tree: Tree,
    /// Its ticket is closed or its worker was asked to stop at once: its result is no longer needed.
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
    /// The evidence is contradictory: keep everything, show it, never guess.
    Suspect,
}

impl Judgement {
    /// As a record of the log has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Collect => "collect",
            Self::AwaitShim => "await_shim",
            Self::StopTree => "stop_tree",
            Self::DeclareLost => "declare_lost",
            Self::Suspect => "suspect",
        }
    }
}

/// Judges one attempt.
#[must_use]
pub fn judge(facts: Facts) -> Judgement {
    match (facts.record, facts.shim, facts.tree) {
        // What its shim has signed is final even while the shim is running: the shim is answered
        // "duplicate" and continues. A record that another process could have written must wait
        // until no shim is left to contradict it.
        (Record::Sealed, _, _) | (Record::Unproven, Life::Dead, Tree::Gone) => Judgement::Collect,
        (
            Record::Absent | Record::Unproven | Record::Unsigned | Record::Contradictory,
            Life::Alive,
            _,
        ) => Judgement::AwaitShim,
        (Record::Absent | Record::Unproven | Record::Unsigned, Life::Dead, Tree::Alive) => {
            Judgement::StopTree
        }
        (Record::Absent | Record::Unsigned, Life::Dead, Tree::Gone) => Judgement::DeclareLost,
        // Whatever it says, the matter was decided without it, and nothing is running that could do
        // harm.
        (Record::Contradictory, Life::Dead, Tree::Gone) if facts.unwanted => Judgement::DeclareLost,
        (Record::Contradictory, Life::Dead, Tree::Alive) if facts.unwanted => Judgement::StopTree,
        (Record::Contradictory, Life::Dead | Life::Unknown, _)
        | (Record::Absent | Record::Unproven | Record::Unsigned, Life::Unknown, _)
        | (Record::Absent | Record::Unproven | Record::Unsigned, Life::Dead, Tree::Unknown) => {
            Judgement::Suspect
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_table() {
        use Judgement as J;
        for record in [
            Record::Sealed,
            Record::Unproven,
            Record::Absent,
            Record::Unsigned,
            Record::Contradictory,
        ] {
            for shim in [Life::Alive, Life::Dead, Life::Unknown] {
                for tree in [Tree::Gone, Tree::Alive, Tree::Unknown] {
                    for unwanted in [false, true] {
                        let expected = match (record, shim, tree) {
                            (Record::Sealed, ..) | (Record::Unproven, Life::Dead, Tree::Gone) => {
                                J::Collect
                            }
                            (_, Life::Alive, _) => J::AwaitShim,
                            (Record::Absent | Record::Unsigned, Life::Dead, Tree::Gone) => {
                                J::DeclareLost
                            }
                            (
                                Record::Absent | Record::Unproven | Record::Unsigned,
                                Life::Dead,
                                Tree::Alive,
                            ) => J::StopTree,
                            (_, Life::Dead, Tree::Gone) if unwanted => J::DeclareLost,
                            (_, Life::Dead, Tree::Alive) if unwanted => J::StopTree,
                            (
                                Record::Absent
                                | Record::Unproven
                                | Record::Unsigned
                                | Record::Contradictory,
                                ..,
                            ) => J::Suspect,
                        };
                        let facts = Facts { record, shim, tree, unwanted };
                        assert_eq!(judge(facts), expected, "{facts:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_lock_that_is_gone_proves_nobody_dead() {
        let locks = [Lock::Held, Lock::Free, Lock::Gone, Lock::Unknown];
        let judged = |process| locks.map(|lock| life(lock, process));
        let (alive, dead) = (Life::Alive, Life::Dead);
        assert_eq!(judged(Process::Running), [alive, dead, alive, alive]);
        assert_eq!(judged(Process::Ended), [alive, dead, dead, dead]);
        assert_eq!(judged(Process::Unknown), [alive, dead, Life::Unknown, Life::Unknown]);
    }
}
