//! What the server as a whole is doing: the answer to `GET /status`.

use serde::Deserialize;
use serde::Serialize;

use crate::wire::pause::PauseView;
use crate::wire::project::CountsView;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerStatus {
    /// The version that runs; none from a server that has no such answer.
    pub version: Option<String>,
    /// Whether its database answers.
    pub ready: bool,
    /// Whether nothing new is started for lack of disk space.
    pub disk_low: bool,
    /// Whether an operator lets nothing new start.
    pub draining: bool,
    /// Tickets of all projects by state.
    pub tickets: CountsView,
    /// What keeps everything or a whole project from starting anything.
    pub pauses: Vec<PauseView>,
}
