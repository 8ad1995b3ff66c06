//! What `.vibe-ensemble.toml` says for a ticket that works in the project's directory: read when the ticket is created, and
//! again when a ticket is resumed that was held for it.

use std::path::PathBuf;

use crate::domain::checks::Kept;
use crate::domain::checks::Tables;
use crate::domain::checks::kept;
use crate::domain::hold::Hold;
use crate::domain::hold::HoldKind;
use crate::domain::id::TicketId;
use crate::domain::project::Project;
use crate::domain::refusal::Refusal;
use crate::domain::ticket::TicketState;
use crate::domain::worktree::Isolation;
use crate::mcp::service::Result;
use crate::mcp::service::Service;
use crate::project_file;

/// What the file says for a new ticket of a project, or why the ticket goes on hold; `None` where git will read it.
pub(super) async fn for_new_ticket(
    service: &Service,
    project: &str,
) -> Result<Option<std::result::Result<Kept, Hold>>> {
    let project = service.store.project(project).await?;
    match project.isolation {
        Isolation::Worktree => Ok(None),
        Isolation::Shared => Ok(Some(read(service, &project).await?)),
    }
}

/// The same for a ticket that is resumed. One whose file is still wrong stays on hold.
pub(super) async fn for_resumed_ticket(service: &Service, id: TicketId) -> Result<Option<Kept>> {
    let ticket = service.store.find_ticket(id).await?;
    let waits_for_it =
        matches!(&ticket.state, TicketState::OnHold(why) if why.kind == HoldKind::Configuration);
    if !waits_for_it || ticket.work.is_some() || service.store.kept_checks(id).await?.is_some() {
        return Ok(None);
    }
    let project = service.store.project(ticket.project_name.as_str()).await?;
    if project.isolation == Isolation::Worktree {
        return Ok(None);
    }
    match read(service, &project).await? {
        Ok(kept) => Ok(Some(kept)),
        Err(why) => Err(Refusal::SettingsUnusable { ticket: id, why: why.reason }.into()),
    }
}

async fn read(service: &Service, project: &Project) -> Result<std::result::Result<Kept, Hold>> {
    let directory = PathBuf::from(&project.path);
    let file = tokio::task::spawn_blocking(move || project_file::read(&directory)).await;
    let file =
        file.unwrap_or_else(|error| Err(project_file::Unusable::Unreadable(error.to_string())));
    let (found, tables) = match file {
        Ok(Some(file)) => (true, file.tables),
        Ok(None) => (false, Tables::default()),
        Err(unusable) => return Ok(Err(kept::unusable(None, &unusable.to_string()))),
    };
    let set = service.store.project_checks(project.key).await?;
    Ok(match set.over(tables.clone()).complete() {
        Ok(_) => Ok(Kept { commit: None, found, tables, copied: None }),
        Err(problems) => Err(kept::incomplete(&problems)),
    })
}
