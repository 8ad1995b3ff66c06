//! Pauses in the words of a shell: what is paused, by what, and the command that ends it.

use crate::cli::output::cell;
use crate::cli::output::cell_of;
use crate::cli::terminal::Screen;
use crate::wire::pause::PauseView;

/// What a pause holds, as part of a sentence.
#[must_use]
pub fn what(pause: &PauseView) -> String {
    match (&pause.project, &pause.worker_type) {
        (Some(project), Some(kind)) => format!("the queue {} of {}", cell(kind), cell(project)),
        (Some(project), None) => format!("the project {}", cell(project)),
        (None, _) => "the whole server".to_owned(),
    }
}

/// Who or what paused it.
#[must_use]
pub fn by(pause: &PauseView) -> &str {
    match pause.cause.as_str() {
        "coordinator" => "manually",
        "usage_limit" => "usage limit",
        "budget" => "dollar limit",
        other => other,
    }
}

/// What ends it, or ends it sooner, as a clause.
#[must_use]
pub fn way_out(pause: &PauseView) -> String {
    let (project, kind) = (cell_of(pause.project.as_ref()), cell_of(pause.worker_type.as_ref()));
    if pause.cause == "budget" {
        return match (&pause.project, &pause.until) {
            (None, _) => "raise max_usd_per_day in the configuration".to_owned(),
            (Some(_), Some(_)) => {
                format!("`vibe-ensemble project update {project} --max-budget-usd-per-day DOLLARS`")
            }
            (Some(_), None) => {
                format!("`vibe-ensemble project update {project} --max-budget-usd DOLLARS`")
            }
        };
    }
    let command = format!("vibe-ensemble resume {project} {kind}");
    let command = format!("`{}`", command.trim_end());
    if pause.cause == "failure" && pause.until.is_none() {
        return format!("fix the cause, then {command}");
    }
    command
}

/// One line: what, why, and what ends it.
#[must_use]
pub fn line(pause: &PauseView, screen: &Screen) -> String {
    let until = pause.until.as_ref().map(|until| format!(", ends {}", cell(&screen.ago(until))));
    let until = until.unwrap_or_default();
    let reason = cell(&screen.told(pause.reason.trim_end_matches('.')));
    format!("{} ({}{until}: {reason}): {}", what(pause), by(pause), way_out(pause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pause_names_what_ends_it() {
        let queue = PauseView {
            scope: "queue".into(),
            project: Some("shop".into()),
            worker_type: Some("implement".into()),
            cause: "failure".into(),
            reason: "could not start claude".into(),
            ..PauseView::default()
        };
        assert_eq!(
            line(&queue, &Screen::pipe()),
            "the queue implement of shop (failure: could not start claude): fix the cause, then `vibe-ensemble resume \
             shop implement`"
        );
        let project = PauseView { worker_type: None, cause: "coordinator".into(), ..queue.clone() };
        assert_eq!(way_out(&project), "`vibe-ensemble resume shop`");
        let budget = PauseView { cause: "budget".into(), ..project };
        assert!(way_out(&budget).contains("project update shop --max-budget-usd DOLLARS"));
        let all = PauseView { project: None, cause: "coordinator".into(), ..budget };
        assert_eq!(way_out(&all), "`vibe-ensemble resume`");
    }
}
