//! From attempt to attempt: of a ticket all its stages, each with a heading, and what the server made of it at the end.

use std::time::Duration;

use super::options::Logs;
use super::places::Places;
use super::reader::Reader;
use super::writer::Writer;
use crate::cli::output;
use crate::cli::terminal::Line;
use crate::cli::terminal::Tone;
use crate::clock::Clock;
use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::wire::attempt::AttemptView;
use crate::wire::ticket::TicketDetailView;

/// Between two looks at the files of a running attempt.
const LOOK: Duration = Duration::from_millis(250);

/// Between two questions to the server about what comes next.
const ASK: Duration = Duration::from_millis(500);

/// Prints one attempt.
pub(super) async fn attempt(
    command: &Logs,
    places: &Places,
    attempt: AttemptId,
    writer: &mut Writer<'_>,
) -> anyhow::Result<()> {
    places.kept(attempt)?;
    let view = match places.ticket_of(attempt) {
        Some(ticket) => view_of(places, ticket, attempt).await?,
        None => None,
    };
    print(command, places, attempt, view.as_ref(), writer).await?;
    let Some(ticket) = places.ticket_of(attempt) else { return Ok(()) };
    // The server takes a moment from the record to its verdict.
    loop {
        let Some(view) = view_of(places, ticket, attempt).await? else { return Ok(()) };
        if view.state == "ended" {
            let asked = asked(places, ticket, attempt).await?;
            return Ok(verdict(&view, asked, writer)?);
        }
        if !command.follow {
            return Ok(());
        }
        tokio::time::sleep(ASK).await;
    }
}

/// Whether an attempt ended with a question.
async fn asked(places: &Places, ticket: TicketId, attempt: AttemptId) -> anyhow::Result<bool> {
    let Ok(Some(detail)) = places.ticket(ticket).await else { return Ok(false) };
    let name = attempt.to_string();
    Ok(detail.comments.iter().any(|shown| {
        shown.comment.kind == "question" && shown.comment.attempt_id.as_ref() == Some(&name)
    }))
}

async fn view_of(
    places: &Places,
    ticket: TicketId,
    attempt: AttemptId,
) -> anyhow::Result<Option<AttemptView>> {
    // A server of other directories, or with another database, may not know it.
    let Ok(Some(detail)) = places.ticket(ticket).await else { return Ok(None) };
    let name = attempt.to_string();
    Ok(detail.attempts.into_iter().find(|found| found.attempt_id == name))
}

/// Prints the attempts of a ticket, and with `--follow` those to come.
pub(super) async fn ticket(
    command: &Logs,
    places: &Places,
    ticket: TicketId,
    writer: &mut Writer<'_>,
) -> anyhow::Result<()> {
    let mut printed: Option<AttemptId> = None;
    let mut waits = String::new();
    loop {
        let Some(detail) = places.ticket(ticket).await? else {
            return of_files(command, places, ticket, writer).await;
        };
        for view in &detail.attempts {
            let Ok(attempt) = view.attempt_id.parse::<AttemptId>() else { continue };
            if printed.is_some_and(|last| attempt <= last) {
                continue;
            }
            printed = Some(attempt);
            one(command, places, ticket, attempt, view, writer).await?;
        }
        if !command.follow {
            if detail.attempts.is_empty() {
                let words = writer.told(&nothing_yet(&detail, "follow it with --follow"));
                writer.tell(words);
            }
            return Ok(());
        }
        writer.release()?;
        if let Some(line) = ended(&detail, writer) {
            return Ok(writer.say(line)?);
        }
        let waiting = detail.waiting_for.unwrap_or_default();
        if detail.ticket.state != "running" && waiting != waits {
            output::note(format_args!("{ticket} waits: {}", writer.told(&waiting)));
            waits = waiting;
        }
        tokio::time::sleep(ASK).await;
    }
}

fn nothing_yet(detail: &TicketDetailView, advice: &str) -> String {
    let waiting = detail.waiting_for.as_deref().unwrap_or("It is closed.");
    format!("{} has no attempt yet; {advice}. {waiting}", detail.ticket.ticket_id)
}

/// Prints one attempt of a ticket, from its heading to what the server made of it.
async fn one(
    command: &Logs,
    places: &Places,
    ticket: TicketId,
    attempt: AttemptId,
    view: &AttemptView,
    writer: &mut Writer<'_>,
) -> anyhow::Result<()> {
    if writer.is_before(view.ended_at.as_deref()) {
        return Ok(());
    }
    print(command, places, attempt, Some(view), writer).await?;
    if view.state == "ended" {
        let asked = asked(places, ticket, attempt).await?;
        return Ok(verdict(view, asked, writer)?);
    }
    if !command.follow {
        return Ok(());
    }
    loop {
        let Some(view) = view_of(places, ticket, attempt).await? else { return Ok(()) };
        if view.state == "ended" {
            let asked = asked(places, ticket, attempt).await?;
            return Ok(verdict(&view, asked, writer)?);
        }
        tokio::time::sleep(ASK).await;
    }
}

/// The attempts of a ticket from the files alone.
async fn of_files(
    command: &Logs,
    places: &Places,
    ticket: TicketId,
    writer: &mut Writer<'_>,
) -> anyhow::Result<()> {
    for attempt in places.attempts_of(ticket)? {
        print(command, places, attempt, None, writer).await?;
    }
    writer.tell(format!(
        "No server is running, so nothing is said of what became of these attempts, and {ticket} is not followed further."
    ));
    Ok(())
}

/// Prints a heading and what the agent of an attempt wrote, to its end if it is followed.
async fn print(
    command: &Logs,
    places: &Places,
    attempt: AttemptId,
    view: Option<&AttemptView>,
    writer: &mut Writer<'_>,
) -> anyhow::Result<()> {
    writer.read(places.kind_of(attempt));
    heading(attempt, view, writer)?;
    let has_ended = |view: Option<&AttemptView>| view.is_some_and(|view| view.state == "ended");
    let directory = loop {
        // An attempt is granted before its shim makes the directory.
        match places.directory(attempt) {
            Some(directory) => break directory,
            None if command.follow && !has_ended(view) => tokio::time::sleep(LOOK).await,
            None => {
                let line = Line::new().toned("its output is not kept any more", Tone::Faint);
                return Ok(writer.say(line)?);
            }
        }
    };
    // The grant may not have been there before.
    writer.read(places.kind_of(attempt));
    let mut reader = Reader::new(directory, writer.stream());
    let clock = Clock::system();
    let mut is_first = true;
    loop {
        let ended = !command.follow || reader.has_ended()? || has_ended(view);
        // What was there before we looked was written before.
        let seen = (!is_first).then(|| clock.now());
        for line in reader.read(ended)? {
            writer.line(attempt, &line, seen)?;
        }
        if std::mem::take(&mut reader.has_gap) {
            writer.say(Line::new().toned("(older output was dropped)", Tone::Faint))?;
        }
        if ended {
            return Ok(());
        }
        if is_first {
            writer.release()?;
        }
        is_first = false;
        tokio::time::sleep(LOOK).await;
    }
}

fn heading(
    attempt: AttemptId,
    view: Option<&AttemptView>,
    writer: &mut Writer<'_>,
) -> anyhow::Result<()> {
    let mut line = Line::new().toned(format!("── {attempt}"), Tone::Strong);
    if let Some(view) = view {
        line = line.toned(format!("  {}", view.stage), Tone::Strong);
        if let Some(what) = view.what() {
            line = line.text(format!("  {what}"));
        }
        if view.asks_outcome {
            line = line.text(", asked only for its outcome");
        }
        line = line.text(format!("  {}", view.worker_id));
        if let Some(started) = &view.started_at {
            line = line.toned(format!("  {}", writer.at(started)), Tone::Faint);
        }
    }
    Ok(writer.say(line)?)
}

/// What the server made of an attempt: claude may call a success what is none. One that `asked` is blocked until it is
/// answered, as its agent said.
fn verdict(view: &AttemptView, asked: bool, writer: &mut Writer<'_>) -> std::io::Result<()> {
    let outcome = view.outcome.as_deref().unwrap_or("ended");
    let failed = view.exit_code.filter(|code| *code != 0 && !view.is_agent());
    // A gate that is run again has no verdict of its own.
    let ran = if failed.is_some() { "failed" } else { outcome };
    let outcome = if asked { "blocked" } else { view.verdict.as_deref().unwrap_or(ran) };
    let line = Line::new().text(format!("── {} ", view.attempt_id));
    let mut line = line.toned(outcome, Tone::of_state(outcome));
    if let Some(failure) = view.failure.as_deref().or(asked.then_some("question")) {
        line = line.text(format!(" ({failure})"));
    }
    if let Some(code) = failed {
        line = line.text(format!(" (exit status {code})"));
    }
    if let Some(detail) = view.detail.as_ref().or(view.note.as_ref()) {
        line = line.text(format!(": {}", writer.told(detail)));
    }
    writer.say(line)?;
    writer.say(Line::new())
}

/// The last line about a ticket that nothing more will happen to by itself.
fn ended(detail: &TicketDetailView, writer: &Writer<'_>) -> Option<Line> {
    let ticket = &detail.ticket;
    let id = &ticket.ticket_id;
    if let Some(resolution) = &ticket.resolution {
        let line = Line::new().toned(format!("{id} is closed: "), Tone::Strong);
        let line = line.toned(resolution, Tone::of_state(resolution));
        let has_changes = ticket.branch.is_some() && ticket.head_commit != ticket.base_commit;
        let result = format!("; `vibe-ensemble diff {id}` shows what it changed");
        return Some(if has_changes { line.text(result) } else { line });
    }
    let reason = ticket.hold_reason.as_ref()?;
    let waiting = detail.waiting_for.as_ref().unwrap_or(reason);
    let waiting = waiting.strip_prefix("On hold: ").unwrap_or(waiting);
    let line = Line::new().toned(format!("{id} is on hold: "), Tone::Attention);
    Some(line.text(writer.told(waiting)))
}
