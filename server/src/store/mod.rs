//! The only SQL of the server: one SQLite file, one writer, a pool of readers.
//!
//! Five floors, each naming only those before it:
//!
//! - [`db`]: the file, the one writer, pages, rows, errors, backup and checks.
//! - [`rows`]: one file per table, to and from values of the domain.
//! - [`money`]: what is spent, set aside and left under each limit, and the sums of it.
//! - [`moves`]: what changes state, one verb per file. A ticket is put on hold in [`moves::hold`], a budget enforced in
//!   [`moves::enforce`] and at each [`moves::claim`].
//! - [`views`]: what is read for answers. Names no move.
//!
//! Each method that writes is one transaction and appends its events itself, so nobody can change state and forget to
//! say so. Writes that arrive together share one commit (see [`db::writer`]), and a caller hears of its write only
//! after that commit is on disk.
//!
//! Invariant: every write names the id and the state it believes, and looks at how many rows it changed.
//! Invariant: no reader holds a transaction while it waits for anything but the database.

mod db;
mod money;
mod moves;
mod rows;
mod views;

#[cfg(test)]
mod tests;

pub use self::db::backup::Holdings;
pub use self::db::backup::check_backup;
pub use self::db::backup::check_copy;
pub use self::db::backup::copy;
pub use self::db::check::check_file;
pub use self::db::error::Error;
pub use self::db::error::Result;
pub use self::db::error::StoreError;
pub use self::db::page::Listed;
pub use self::db::page::Page;
pub use self::db::soundness::Checked;
pub use self::db::soundness::Soundness;
pub use self::db::store::Rules;
pub use self::db::store::Store;
pub use self::money::ledger::GroupBy;
pub use self::money::ledger::Usage;
pub use self::money::ledger::UsageFilter;
pub use self::money::ledger::UsagePage;
pub use self::moves::check_claim::CheckClaim;
pub use self::moves::check_claim::GrantedCheck;
pub use self::moves::check_end::CheckEnding;
pub use self::moves::check_judge::BaseWait;
pub use self::moves::check_plan::Planned;
pub use self::moves::claim::Claim;
pub use self::moves::claim::Granted;
pub use self::moves::ending::EndReport;
pub use self::moves::ending::Ending;
pub use self::moves::ending::Work;
pub use self::moves::enforce::Stopping;
pub use self::moves::mark::EventMarks;
pub use self::moves::prepare::Beginning;
pub use self::moves::prepare::Begun;
pub use self::moves::prune::BATCH as PRUNE_BATCH;
pub use self::moves::put_off::PutOff;
pub use self::moves::renumber::Highest;
pub use self::rows::checking::Checking;
pub use self::rows::checking::CheckingGate;
pub use self::rows::cleanup::Cleanup;
pub use self::rows::event_marks::EventScope;
pub use self::rows::protection::Protection;
pub use self::rows::waiver::Waiver;
pub use self::views::at_work::AtWork;
pub use self::views::at_work::Now;
pub use self::views::at_work::Today;
pub use self::views::board::StageCount;
pub use self::views::bounded::Bounded;
pub use self::views::changed_limits::ChangedLimits;
pub use self::views::checks::DueChecks;
pub use self::views::counts::Counts;
pub use self::views::events::EventPage;
pub use self::views::events::EventQuery;
pub use self::views::failures::FailureDay;
pub use self::views::history::History;
pub use self::views::history::TicketDetail;
pub use self::views::history::Waiting;
pub use self::views::inbox::InboxPage;
pub use self::views::inbox::InboxPlace;
pub use self::views::inbox::InboxQuery;
pub use self::views::left_running::left_running;
pub use self::views::notifiers::NextEvents;
pub use self::views::notifiers::notifiers_of;
pub use self::views::past_events::PastEvent;
pub use self::views::prunable::Prunable;
pub use self::views::search::Hit;
pub use self::views::search::HitComment;
pub use self::views::search::MARKS;
pub use self::views::stuck::Stuck;
pub use self::views::stuck::stuck_attempts;
pub use self::views::table::MOST_COUNTED;
pub use self::views::table::SortBy;
pub use self::views::table::TablePage;
pub use self::views::table::TableQuery;
pub use self::views::tickets::TicketFilter;
pub use self::views::unsettled::Unsettled;
pub use self::views::workers::WorkerFilter;
pub use self::views::worktrees::Occupied;
pub use self::views::worktrees::Unprepared;
