//! Lists that only pages show: a board, a table, a search, failures.

use crate::domain::text::shortened;
use crate::domain::ticket::Ticket;
use crate::mcp::desk::Desk;
use crate::mcp::desk::call::DeskResult;
use crate::mcp::status;
use crate::store::FailureDay;
use crate::store::Hit;
use crate::store::StageCount;
use crate::store::TableQuery;
use crate::wire::status::ServerStatus;
use crate::wire::ticket::TicketView;

/// Open tickets at a stage, in a state.
pub(crate) type BoardCount = StageCount;
/// A ticket or a comment that a search found.
pub(crate) type Found = Hit;
/// Failures of one class at one stage of a project on one day.
pub(crate) type FailureRow = FailureDay;

/// A page of a table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rows {
    pub(crate) tickets: Vec<TicketView>,
    /// How many match, counted up to [`crate::store::MOST_COUNTED`].
    pub(crate) total: i64,
    pub(crate) more: bool,
}

/// How much of a description a list has.
const DESCRIPTION_CHARS: usize = 200;

/// A ticket as lists show it.
fn listed(ticket: Ticket) -> TicketView {
    let view = TicketView::from(ticket);
    TicketView { description: shortened(&view.description, DESCRIPTION_CHARS), ..view }
}

impl Desk {
    /// What the server as a whole is doing.
    pub(crate) async fn status(&self) -> DeskResult<ServerStatus> {
        Ok(status::status(&self.service, true).await?)
    }

    /// Open tickets by stage and state.
    pub(crate) async fn board_counts(&self, project: Option<&str>) -> DeskResult<Vec<BoardCount>> {
        Ok(self.service.store.open_by_stage(project).await?)
    }

    /// One page of a table.
    pub(crate) async fn table(
        &self,
        query: &TableQuery,
        skip: i64,
        limit: i64,
    ) -> DeskResult<Rows> {
        let page = self.service.store.table(query, skip, limit).await?;
        let tickets = page.tickets.into_iter().map(listed).collect();
        Ok(Rows { tickets, total: page.total, more: page.more })
    }

    /// The first tickets of a table, without how many there are.
    pub(crate) async fn first_of_table(
        &self,
        query: &TableQuery,
        limit: i64,
    ) -> DeskResult<Vec<TicketView>> {
        let found = self.service.store.first_of_table(query, limit).await?;
        Ok(found.into_iter().map(listed).collect())
    }

    /// At most `limit` tickets of a table after one of them, oldest first.
    pub(crate) async fn matching(
        &self,
        query: &TableQuery,
        after: Option<&str>,
        limit: i64,
    ) -> DeskResult<Vec<String>> {
        let after = after.map(|id| crate::mcp::service::id("ticket_id", id)).transpose()?;
        let found = self.service.store.matching(query, after, limit).await?;
        Ok(found.into_iter().map(|ticket| ticket.to_string()).collect())
    }

    /// The newest tickets that have all the words.
    pub(crate) async fn find_tickets(
        &self,
        text: &str,
        skip: i64,
        limit: i64,
    ) -> DeskResult<Vec<Found>> {
        Ok(self.service.store.search_tickets(text, skip, limit).await?)
    }

    /// The newest comments that have all the words.
    pub(crate) async fn find_comments(
        &self,
        text: &str,
        skip: i64,
        limit: i64,
    ) -> DeskResult<Vec<Found>> {
        Ok(self.service.store.search_comments(text, skip, limit).await?)
    }

    /// Failures from a day on.
    pub(crate) async fn failures(
        &self,
        since_day: i64,
        project: Option<&str>,
    ) -> DeskResult<Vec<FailureRow>> {
        Ok(self.service.store.failures(since_day, project).await?)
    }
}
