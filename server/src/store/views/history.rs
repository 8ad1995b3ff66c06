//! A ticket with its history and why it waits, as `get_ticket` shows it: one statement, so one moment and one way to
//! the database.
//!
//! Comments and attempts grow without end, so an answer has the newest ones and says how to read more.

use serde::Deserialize;
use sqlx::FromRow;
use sqlx::QueryBuilder;
use sqlx::Sqlite;
use sqlx::SqliteConnection;

use super::surroundings::LANDS_AFTER;
use super::surroundings::SurroundingsRow;
use crate::domain::attempt::Attempt;
use crate::domain::comment::Comment;
use crate::domain::id::AttemptId;
use crate::domain::id::CommentId;
use crate::domain::id::ProjectKey;
use crate::domain::id::TicketId;
use crate::domain::refusal::Refusal;
use crate::domain::ticket::Ticket;
use crate::domain::time::Timestamp;
use crate::domain::waiting::Surroundings;
use crate::store::db::error::Result;
use crate::store::db::error::StoreError;
use crate::store::db::row;
use crate::store::db::row::Place;
use crate::store::db::store::Rules;
use crate::store::db::store::Store;
use crate::store::money::accounts;
use crate::store::rows::attempt::AttemptRow;
use crate::store::rows::ticket::TicketRow;

/// Characters that the comments of one answer may have together. With the rest of a ticket, that stays below the 25,000
/// tokens above which Claude Code puts an answer into a file.
const COMMENT_CHARS: usize = 40_000;

/// The most comments of one answer.
const COMMENTS: usize = 50;

/// The most attempts of one answer.
const ATTEMPTS: usize = 20;

/// Which part of a ticket's history is read. The default is the newest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Only comments from before this one.
    pub comments_before: Option<CommentId>,
    /// Only attempts from before this one.
    pub attempts_before: Option<AttemptId>,
    /// Only this comment, whole.
    pub comment: Option<CommentId>,
}

/// A ticket with everything `get_ticket` shows.
#[derive(Clone, Debug, PartialEq)]
pub struct TicketDetail {
    pub ticket: Ticket,
    /// The newest that fit into an answer, oldest first.
    pub comments: Vec<Comment>,
    /// Those of the comments whose content is cut.
    pub cut: Vec<CommentId>,
    pub comments_total: i64,
    /// Where to continue, if there are older ones.
    pub comments_before: Option<CommentId>,
    /// The newest that fit into an answer, oldest first.
    pub attempts: Vec<Attempt>,
    pub attempts_total: i64,
    pub attempts_before: Option<AttemptId>,
    pub surroundings: Surroundings,
}

/// A waiting ticket and why it waits.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    pub ticket: Ticket,
    pub surroundings: Surroundings,
}

#[derive(FromRow)]
struct DetailRow {
    #[sqlx(flatten)]
    ticket: TicketRow,
    #[sqlx(flatten)]
    surroundings: SurroundingsRow,
    newest_comments: String,
    comments_total: i64,
    newest_attempts: String,
    attempts_total: i64,
}

#[derive(FromRow)]
struct WaitingRow {
    #[sqlx(flatten)]
    ticket: TicketRow,
    #[sqlx(flatten)]
    surroundings: SurroundingsRow,
}

#[derive(Deserialize)]
struct CommentJson {
    comment_id: i64,
    author: String,
    stage: Option<String>,
    attempt_id: Option<i64>,
    kind: String,
    content: String,
    #[serde(deserialize_with = "row::flag")]
    cut: bool,
    created_at: i64,
}

impl Store {
    /// The ticket and what it is waiting for at this moment, with the requested part of its history.
    pub async fn ticket_at(
        &self,
        id: TicketId,
        history: History,
        now: Timestamp,
    ) -> Result<TicketDetail> {
        let rules = self.rules();
        let mut sql = select_detail(id, history, rules, now);
        let row: Option<DetailRow> = sql.build_query_as().fetch_optional(&self.readers).await?;
        let row = row.ok_or(Refusal::UnknownTicket { ticket: id })?;
        let detail = detail(row, rules)?;
        match history.comment {
            Some(comment) if detail.comments.is_empty() => {
                Err(Refusal::UnknownComment { comment, ticket: id }.into())
            }
            Some(_) | None => Ok(detail),
        }
    }
}

/// The statement that reads a [`DetailRow`]. It reads one more comment and one more attempt than are shown, which tells
/// whether there are older ones.
pub(crate) fn select_detail(
    id: TicketId,
    history: History,
    rules: Rules,
    now: Timestamp,
) -> QueryBuilder<Sqlite> {
    let shown = if history.comment.is_some() { i64::MAX } else { as_i64(COMMENT_CHARS) };
    let mut sql = QueryBuilder::new("SELECT t.*, ");
    accounts::push_today(&mut sql, "t", rules, now);
    sql.push(",").push(LANDS_AFTER);
    sql.push(
        ", (SELECT json_group_array(json_object('comment_id', c.comment_id, 'author', c.author, 'stage', c.stage,
                    'attempt_id', c.attempt_id, 'kind', c.kind, 'content', substr(c.content, 1, ",
    );
    sql.push_bind(shown).push("), 'cut', length(c.content) > ").push_bind(shown);
    sql.push(
        ", 'created_at', c.created_at) ORDER BY c.comment_id DESC)
             FROM (SELECT * FROM comment n WHERE n.ticket_id = t.ticket_id AND n.comment_id < ",
    );
    sql.push_bind(history.comments_before.map_or(i64::MAX, CommentId::key));
    if let Some(comment) = history.comment {
        sql.push(" AND n.comment_id = ").push_bind(comment.key());
    }
    sql.push(" ORDER BY n.comment_id DESC LIMIT ").push_bind(as_i64(COMMENTS + 1));
    sql.push(
        ") c) AS newest_comments,
          (SELECT COUNT(*) FROM comment c WHERE c.ticket_id = t.ticket_id) AS comments_total,
          (SELECT json_group_array(json(a.attempt) ORDER BY a.attempt_id DESC)
             FROM (SELECT n.attempt_id, n.attempt FROM attempt_json n WHERE n.ticket_id = t.ticket_id AND n.attempt_id < ",
    );
    sql.push_bind(history.attempts_before.map_or(i64::MAX, AttemptId::key));
    sql.push(" ORDER BY n.attempt_id DESC LIMIT ").push_bind(as_i64(ATTEMPTS + 1));
    sql.push(
        ") a) AS newest_attempts,
          (SELECT COUNT(*) FROM attempt a WHERE a.ticket_id = t.ticket_id) AS attempts_total
       FROM ticket_surroundings t WHERE t.ticket_id = ",
    );
    sql.push_bind(id.key());
    sql
}

fn detail(row: DetailRow, rules: Rules) -> std::result::Result<TicketDetail, StoreError> {
    let ticket = Ticket::try_from(row.ticket)?;
    let place = Place { table: "ticket", key: ticket.id.key() };
    let surroundings = row.surroundings.of(&ticket, rules)?;
    let comments: Vec<CommentJson> =
        place.json(Some(&row.newest_comments), "newest_comments")?.unwrap_or_default();
    let attempts: Vec<AttemptRow> =
        place.json(Some(&row.newest_attempts), "newest_attempts")?.unwrap_or_default();

    let fit = fitting(&comments);
    let older = comments.len() > fit;
    let cut = comments[..fit].iter().filter(|c| c.cut).map(|c| CommentId::from_key(c.comment_id));
    let cut = cut.collect();
    let ticket_id = ticket.id;
    let comment = |json: CommentJson| {
        let place = Place { table: "comment", key: json.comment_id };
        Ok(Comment {
            id: CommentId::from_key(json.comment_id),
            ticket: ticket_id,
            author: json.author,
            stage: json.stage.map(row::name),
            attempt: json.attempt_id.map(AttemptId::from_key),
            kind: place.named(&json.kind, "kind")?,
            content: json.content,
            created_at: row::time(json.created_at),
        })
    };
    let comments: std::result::Result<Vec<Comment>, StoreError> =
        comments.into_iter().take(fit).map(comment).collect();
    let mut comments = comments?;
    comments.reverse();

    let older_attempts = attempts.len() > ATTEMPTS;
    let attempts: std::result::Result<Vec<Attempt>, StoreError> =
        attempts.into_iter().take(ATTEMPTS).map(Attempt::try_from).collect();
    let mut attempts = attempts?;
    attempts.reverse();
    Ok(TicketDetail {
        ticket,
        cut,
        comments_total: row.comments_total,
        comments_before: comments.first().filter(|_| older).map(|comment| comment.id),
        comments,
        attempts_total: row.attempts_total,
        attempts_before: attempts.first().filter(|_| older_attempts).map(|attempt| attempt.id),
        attempts,
        surroundings,
    })
}

/// How many of these comments, newest first, fit into one answer: at least one.
fn fitting(newest: &[CommentJson]) -> usize {
    let mut left = COMMENT_CHARS;
    let fits = newest.iter().take(COMMENTS).take_while(|comment| {
        let size = comment.content.chars().count();
        let fits = size <= left;
        left = left.saturating_sub(size);
        fits
    });
    fits.count().max(1).min(newest.len())
}

fn as_i64(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// The tickets of a queue that wait, in the order in which they will be taken, each with why.
pub(crate) async fn waiting(
    connection: &mut SqliteConnection,
    project: ProjectKey,
    worker_type: &str,
    most: i64,
    rules: Rules,
    now: Timestamp,
) -> Result<Vec<Waiting>> {
    let mut sql = select_waiting(project, worker_type, most, rules, now);
    let rows: Vec<WaitingRow> = sql.build_query_as().fetch_all(connection).await?;
    let waiting = |row: WaitingRow| {
        let ticket = Ticket::try_from(row.ticket)?;
        let surroundings = row.surroundings.of(&ticket, rules)?;
        Ok(Waiting { ticket, surroundings })
    };
    let waiting: std::result::Result<Vec<Waiting>, StoreError> =
        rows.into_iter().map(waiting).collect();
    Ok(waiting?)
}

/// The statement that reads [`WaitingRow`]s.
pub(crate) fn select_waiting(
    project: ProjectKey,
    worker_type: &str,
    most: i64,
    rules: Rules,
    now: Timestamp,
) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::new("SELECT t.*, ");
    accounts::push_today(&mut sql, "t", rules, now);
    sql.push(" FROM ticket_surroundings t WHERE t.project_id = ").push_bind(project.0);
    sql.push(" AND t.current_stage = ").push_bind(worker_type.to_owned());
    sql.push(
        " AND t.state IN ('queued', 'scheduled', 'blocked')
          ORDER BY t.state = 'queued' DESC, t.priority DESC, (t.begun = 1 AND t.works_in = 'shared') DESC, t.ticket_id
          LIMIT ",
    );
    sql.push_bind(most);
    sql
}
