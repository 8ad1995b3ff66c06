//! Who looks at the pages.

use crate::sessions::Role;
use crate::sessions::SessionId;

/// A browser that may see pages. Travels with its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Visitor {
    /// Its session; `None` where none is required.
    pub(crate) session: Option<SessionId>,
    pub(crate) role: Role,
    /// The token that its forms carry.
    pub(crate) csrf: String,
}

impl Visitor {
    pub(crate) fn may_change(&self) -> bool {
        match self.role {
            Role::Full => true,
            Role::ReadOnly => false,
        }
    }

    /// The name under which the event log has what it does.
    pub(crate) fn cause(&self) -> String {
        self.session
            .map_or_else(|| "dashboard".to_owned(), |session| format!("dashboard.{session}"))
    }
}
