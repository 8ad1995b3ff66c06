//! Full-text search over tickets and over what was said of them.
//!
//! Newest first: an order by relevance would have to look at every match.

use sqlx::FromRow;

use crate::domain::id::CommentId;
use crate::domain::id::TicketId;
use crate::domain::time::Timestamp;
use crate::store::db::error::Result;
use crate::store::db::row;
use crate::store::db::store::Store;

/// Around the words that were found, in an excerpt: characters that no stored text is shown with.
pub const MARKS: (char, char) = ('\u{2}', '\u{3}');

/// The most words of a search; the rest is left out.
const MOST_WORDS: usize = 16;

/// A ticket or a comment that has all the words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    pub ticket: TicketId,
    pub project: String,
    pub title: String,
    pub state: String,
    /// What was said; `None` when the ticket itself has the words.
    pub comment: Option<HitComment>,
    /// The words in their surroundings, each between [`MARKS`].
    pub excerpt: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HitComment {
    pub id: CommentId,
    pub author: String,
    pub kind: String,
    pub at: Timestamp,
}

#[derive(FromRow)]
struct TicketHitRow {
    ticket_id: i64,
    project: String,
    title: String,
    state: String,
    excerpt: String,
}

#[derive(FromRow)]
struct CommentHitRow {
    ticket_id: i64,
    project: String,
    title: String,
    state: String,
    comment_id: i64,
    author: String,
    kind: String,
    created_at: i64,
    excerpt: String,
}

/// The words of a search as the index takes them: all of them, the last one also as the beginning of a word. `None`
/// without any word. Quoted, so that no word is an operator.
pub(crate) fn expression(text: &str) -> Option<String> {
    let words =
        text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    let words: Vec<String> = words.take(MOST_WORDS).map(|word| format!("\"{word}\"")).collect();
    (!words.is_empty()).then(|| format!("{}*", words.join(" ")))
}

impl Store {
    /// The newest tickets whose title or description has all the words.
    pub async fn search_tickets(&self, text: &str, skip: i64, limit: i64) -> Result<Vec<Hit>> {
        let Some(expression) = expression(text) else { return Ok(Vec::new()) };
        let rows: Vec<TicketHitRow> = sqlx::query_as(
            "SELECT t.ticket_id, p.name AS project, t.title, t.state,
                    snippet(ticket_search, -1, char(2), char(3), '…', 24) AS excerpt
               FROM ticket_search s
               CROSS JOIN ticket t ON t.ticket_id = s.rowid
               JOIN project p ON p.project_id = t.project_id
              WHERE ticket_search MATCH ?1
              ORDER BY s.rowid DESC
              LIMIT ?2 OFFSET ?3",
        )
        .bind(expression)
        .bind(limit)
        .bind(skip)
        .fetch_all(&mut *self.readers.acquire().await?)
        .await?;
        let hit = |row: TicketHitRow| Hit {
            ticket: TicketId::from_key(row.ticket_id),
            project: row.project,
            title: row.title,
            state: row.state,
            comment: None,
            excerpt: row.excerpt,
        };
        Ok(rows.into_iter().map(hit).collect())
    }

    /// The newest reports, questions and remarks that have all the words.
    pub async fn search_comments(&self, text: &str, skip: i64, limit: i64) -> Result<Vec<Hit>> {
        let Some(expression) = expression(text) else { return Ok(Vec::new()) };
        let rows: Vec<CommentHitRow> = sqlx::query_as(
            "SELECT t.ticket_id, p.name AS project, t.title, t.state, c.comment_id, c.author, c.kind, c.created_at,
                    snippet(comment_search, 0, char(2), char(3), '…', 24) AS excerpt
               FROM comment_search s
               CROSS JOIN comment c ON c.comment_id = s.rowid
               JOIN ticket t ON t.ticket_id = c.ticket_id
               JOIN project p ON p.project_id = t.project_id
              WHERE comment_search MATCH ?1
              ORDER BY s.rowid DESC
              LIMIT ?2 OFFSET ?3",
        )
        .bind(expression)
        .bind(limit)
        .bind(skip)
        .fetch_all(&mut *self.readers.acquire().await?)
        .await?;
        let hit = |row: CommentHitRow| Hit {
            ticket: TicketId::from_key(row.ticket_id),
            project: row.project,
            title: row.title,
            state: row.state,
            comment: Some(HitComment {
                id: CommentId::from_key(row.comment_id),
                author: row.author,
                kind: row.kind,
                at: row::time(row.created_at),
            }),
            excerpt: row.excerpt,
        };
        Ok(rows.into_iter().map(hit).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_of_a_search_is_an_operator() {
        assert_eq!(expression("coupon exp").as_deref(), Some("\"coupon\" \"exp\"*"));
        assert_eq!(
            expression("a OR b* NEAR(\"c").as_deref(),
            Some("\"a\" \"OR\" \"b\" \"NEAR\" \"c\"*")
        );
        assert_eq!(expression("Größe 価格").as_deref(), Some("\"Größe\" \"価格\"*"));
        assert_eq!(expression(" -\"*() "), None);
    }
}
