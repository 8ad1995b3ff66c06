//! Parts of a transcript, for the script that shows it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Json;
use axum::extract::Path;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use axum::response::Response;
use serde_json::Value;
use serde_json::json;
use shim_protocol::run_dir::Stream;

use crate::mcp::desk::Declined;
use crate::mcp::desk::DeskResult;
use crate::telemetry;
use crate::web::shell;
use crate::web::site::Site;
use crate::web::text::cut;
use crate::web::transcript::file::Lines;
use crate::web::transcript::file::Transcript;
use crate::web::transcript::output;
use crate::web::transcript::rows;
use crate::web::transcript::rows::Part;
use crate::web::transcript::search;
use crate::web::transcript::search::Wanted;
use crate::web::visit::Visit;
use crate::wire::attempt::AttemptView;

/// Rows of one answer, and the most that may be asked for.
const ROWS: usize = 200;
const MOST_ROWS: usize = 500;
/// The longest text of "show all", in characters.
const MOST_WHOLE: usize = 4 << 20;

/// Which lines are asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    From(u64),
    Before(u64),
    Tail,
}

/// Rows by offset.
pub(crate) async fn lines(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Path(id): Path<String>,
) -> Response {
    let number = |name: &str| visit.query.get(name).and_then(|text| text.parse::<u64>().ok());
    let (asked, limit) = match (number("tail"), number("before"), number("from")) {
        (Some(tail), ..) => (Asked::Tail, Some(tail)),
        (None, Some(before), _) => (Asked::Before(before), number("limit")),
        (None, None, from) => (Asked::From(from.unwrap_or(0)), number("limit")),
    };
    let limit =
        limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(ROWS).clamp(1, MOST_ROWS);
    match read(&site, &id, asked, limit).await {
        Ok(answer) => Json(answer).into_response(),
        Err(declined) => shell::sorry(&visit, &declined),
    }
}

/// Some rows of an attempt, as the script gets them.
pub(super) async fn read(
    site: &Site,
    attempt: &str,
    asked: Asked,
    limit: usize,
) -> DeskResult<Value> {
    let view = site.desk.attempt(attempt).await?;
    let running = view.state != "ended";
    let is_agent = view.is_agent();
    look(site, &view, move |file| {
        let lines: Lines = match asked {
            Asked::From(from) => file.after(from, limit, !running)?,
            Asked::Before(before) => file.before(before, limit, !running)?,
            Asked::Tail => file.before(u64::MAX, limit, !running)?,
        };
        let shown = if is_agent { rows::rows(&lines.all) } else { output::rows(&lines.all) };
        Ok(json!({
            "start": lines.start, "end": lines.end, "bytes": file.bytes, "first": file.first, "running": running,
            "dropped": file.first.saturating_sub(1), "rows": shown,
        }))
    })
    .await
}

/// Reads files where waiting for a disk delays no other request.
async fn look<T: Send + 'static>(
    site: &Site,
    view: &AttemptView,
    read: impl FnOnce(&Transcript) -> io::Result<T> + Send + 'static,
) -> DeskResult<T> {
    let attempt = view.attempt_id.as_str();
    let run_dir: PathBuf = site.desk.run_dir(attempt)?;
    // What the commands of a setup or a gate print goes where errors of an agent go.
    let stream = if view.is_agent() { Stream::Stdout } else { Stream::Stderr };
    let Ok(_look) = site.looks.acquire().await else { return Err(Declined::Failed) };
    let looked =
        tokio::task::spawn_blocking(move || read(&Transcript::open(&run_dir, stream)?)).await;
    let looked = looked.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    looked.map_err(|error| {
        tracing::warn!(attempt, error = telemetry::chain(&error), "a transcript could not be read");
        Declined::Failed
    })
}

/// One text, whole.
pub(crate) async fn part(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Path(id): Path<String>,
) -> Response {
    let number = |name: &str| visit.query.get(name).and_then(|text| text.parse::<u64>().ok());
    let Some(at) = number("at") else { return shell::sorry(&visit, &Declined::Unknown) };
    let n = number("n").and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    let part = if visit.query.get("part") == Some("input") { Part::Input } else { Part::Text };
    let found = async {
        let view = site.desk.attempt(&id).await?;
        look(&site, &view, move |file| {
            let line = file.line_at(at, /* whole */ true)?;
            Ok(line.map(|line| rows::whole(&line, n, part)))
        })
        .await
    };
    match found.await {
        Ok(Some(text)) => (StatusCode::OK, cut(&text, MOST_WHOLE).0.to_owned()).into_response(),
        Ok(None) => shell::sorry(&visit, &Declined::Unknown),
        Err(declined) => shell::sorry(&visit, &declined),
    }
}

/// The next row of a kind.
pub(crate) async fn next(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Path(id): Path<String>,
) -> Response {
    let from = visit.query.get("after").and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let Some(wanted) = visit.query.get("kind").and_then(Wanted::of) else {
        return shell::sorry(&visit, &Declined::Unknown);
    };
    let back = visit.query.get("back") == Some("1");
    let found = async {
        let view = site.desk.attempt(&id).await?;
        look(&site, &view, move |file| {
            if back {
                search::backwards(file, from, wanted)
            } else {
                search::forwards(file, from, wanted)
            }
        })
        .await
    };
    match found.await {
        Ok(found) => Json(json!({"at": found.at, "reached": found.reached})).into_response(),
        Err(declined) => shell::sorry(&visit, &declined),
    }
}
