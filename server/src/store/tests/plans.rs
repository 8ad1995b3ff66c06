//! How SQLite carries out every statement of the store: none may walk over tickets, attempts, comments or events, of which
//! there are ever more.
//!
//! Statements that stand in the source as one string are found there; those that are put together at run time are put
//! together here, in each of their shapes.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use sqlx::AssertSqlSafe;
use sqlx::QueryBuilder;
use sqlx::Row as _;
use sqlx::SqliteConnection;

use super::Bed;
use super::NOW;
use super::RULES;
use crate::domain::event::EventKind;
use crate::domain::hold::HoldKind;
use crate::domain::id::AttemptId;
use crate::domain::id::CommentId;
use crate::domain::id::EventSeq;
use crate::domain::id::ProjectKey;
use crate::domain::id::TicketId;
use crate::domain::id::WorkerId;
use crate::domain::ticket::Priority;
use crate::domain::worker::WorkerState;
use crate::store::EventQuery;
use crate::store::EventScope;
use crate::store::GroupBy;
use crate::store::History;
use crate::store::Page;
use crate::store::SortBy;
use crate::store::TableQuery;
use crate::store::TicketFilter;
use crate::store::WorkerFilter;
use crate::store::money::accounts;
use crate::store::money::counted;
use crate::store::money::dearest;
use crate::store::money::ledger::Narrowed;
use crate::store::money::ledger::Period;
use crate::store::money::usage;
use crate::store::moves::create;
use crate::store::moves::mark;
use crate::store::moves::seek;
use crate::store::rows::event_marks::Part;
use crate::store::rows::event_marks::Progress;
use crate::store::views::events;
use crate::store::views::history;
use crate::store::views::inbox;
use crate::store::views::notifiers;
use crate::store::views::past_events;
use crate::store::views::queues;
use crate::store::views::table;
use crate::store::views::tickets;
use crate::store::views::workers;

/// The tables that grow with what is closed and ended.
const GROWING: [&str; 4] = ["ticket", "attempt", "comment", "event"];

/// Indexes of part of a table that may be walked, and how many rows they have at most.
const SHORT: [(&str, &str); 5] = [
    ("attempt_one_live_per_worker", "the attempts that run: no more than workers"),
    ("attempt_unsettled", "the attempts that run or are being cleared away"),
    ("ticket_open", "the open tickets, a few bytes of each, for pages that sum and sort them"),
    ("ticket_own_budget", "the open tickets with a limit of their own"),
    ("ticket_due", "one look at its first row, or those that are due"),
];

/// Walks that are meant, by file: what keeps them short, or who waits for them.
const MEANT: [(&str, &str); 4] = [
    ("db/backup.rs", "counts the rows of a finished copy, in a process of its own"),
    ("db/sums.rs", "doctor and the test of the kept sums compare them with every row"),
    ("moves/prune.rs", "reads a batch of the oldest events, in the order in which they lie"),
    ("rows/event.rs", "reads the newest event alone, in the order in which they lie"),
];

/// The files that put statements together, each with a test here or with nothing to find.
const BUILDERS: [(&str, &str); 17] = [
    ("db/writer.rs", "adds the beginning of a transaction to questions that are built below"),
    ("money/accounts.rs", "built below"),
    ("money/counted.rs", "built below"),
    ("money/dearest.rs", "built below"),
    ("money/usage.rs", "built below"),
    ("moves/claim.rs", "inserts one row, and updates others by their keys"),
    ("moves/create.rs", "inserts rows, and reads one by its key; its question is built below"),
    ("moves/mark.rs", "built below"),
    ("moves/seek.rs", "built below"),
    ("rows/event.rs", "inserts one row"),
    ("views/events.rs", "built below"),
    ("views/history.rs", "built below"),
    ("views/past_events.rs", "built below"),
    ("views/queues.rs", "built below"),
    ("views/table.rs", "built below"),
    ("views/tickets.rs", "built below"),
    ("views/workers.rs", "built below"),
];

/// The files of the store below its folder, with their text.
fn sources() -> BTreeMap<String, String> {
    let store = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    let mut found = BTreeMap::new();
    for floor in ["db", "rows", "money", "moves", "views"] {
        for entry in fs::read_dir(store.join(floor)).expect("a floor") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(&store).expect("below").display().to_string();
            let text = fs::read_to_string(&path).expect("a source file");
            let own = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            found.insert(name, own.to_owned());
        }
    }
    found
}

/// The statements that stand in `source` as one string: not those that more is appended to.
fn statements(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let code: Vec<&str> =
        source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let mut rest = code.as_str();
    while let Some(at) = rest.find('"') {
        let before = rest[..at].trim_end();
        let inside = &rest[at + 1..];
        let length = end_of_string(inside);
        let text = &inside[..length];
        rest = &inside[(length + 1).min(inside.len())..];
        let continues = ["new(", "push(", "format!(", "concat!("];
        let is_part = continues.iter().any(|call| before.ends_with(call));
        let first = text.split_whitespace().next().unwrap_or_default();
        // A plain INSERT looks for no rows but those that would refer to the new one, and only while a check is owed.
        let is_insert = first == "INSERT" && !text.contains("SELECT");
        if !is_part
            && !is_insert
            && ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"].contains(&first)
        {
            found.push(text.replace("\\\n", ""));
        }
    }
    found
}

/// Where the string ends that `inside` begins with.
fn end_of_string(inside: &str) -> usize {
    let mut escaped = false;
    for (at, char) in inside.char_indices() {
        match char {
            '"' if !escaped => return at,
            _ => escaped = char == '\\' && !escaped,
        }
    }
    inside.len()
}

/// What a schema says of its indexes and views.
struct Schema {
    /// The table of each index.
    tables: BTreeMap<String, String>,
    /// The text of every view: a plan names a table as the view does.
    views: String,
}

impl Schema {
    async fn read(connection: &mut SqliteConnection) -> Self {
        let indexes: Vec<(String, String)> =
            sqlx::query_as("SELECT name, tbl_name FROM sqlite_schema WHERE type = 'index'")
                .fetch_all(&mut *connection)
                .await
                .expect("the indexes");
        let views: Vec<String> =
            sqlx::query_scalar("SELECT sql FROM sqlite_schema WHERE type = 'view'")
                .fetch_all(connection)
                .await
                .expect("the views");
        Self { tables: indexes.into_iter().collect(), views: views.join("\n") }
    }

    /// The tables that `name` stands for in a statement or in a view that it reads.
    fn named<'a>(&'a self, name: &'a str, statement: &'a str) -> BTreeSet<&'a str> {
        let mut found = BTreeSet::from([name]);
        for text in [statement, &self.views] {
            let words: Vec<&str> = text
                .split(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | ',' | ';'))
                .filter(|word| !word.is_empty())
                .collect();
            for triple in words.windows(3) {
                if matches!(triple[0], "FROM" | "JOIN" | "UPDATE") && triple[2] == name {
                    found.insert(triple[1]);
                }
            }
        }
        found
    }
}

/// The steps of the plan of `statement` that walk over a growing table, or over one project's part of it.
async fn walks(connection: &mut SqliteConnection, schema: &Schema, statement: &str) -> Vec<String> {
    let sql = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
    let rows = sqlx::raw_sql(sql).fetch_all(connection).await;
    let rows = rows.unwrap_or_else(|error| panic!("no plan for {statement}: {error}"));
    let steps: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
    let inner: Vec<&str> = steps
        .iter()
        .filter_map(|step| step.strip_prefix("CO-ROUTINE ").or(step.strip_prefix("MATERIALIZE ")))
        .collect();
    let walks = |step: &&String| {
        let mut words = step.split(' ');
        let scan = match words.next() {
            Some("SCAN") => true,
            // A list of one project, or of one state, has as many rows as ever had them.
            Some("SEARCH") => {
                let is_list = ["(project_id=?)", "(state=?)"].iter().any(|end| step.ends_with(end));
                // An index that is made for one statement is made of the whole table.
                is_list || step.contains("AUTOMATIC")
            }
            Some(_) | None => false,
        };
        let name = words.next().unwrap_or_default();
        if !scan || inner.contains(&name) || step.contains("VIRTUAL TABLE") {
            return false;
        }
        let index =
            step.split_once("INDEX ").map(|(_, rest)| rest.split(' ').next().unwrap_or(rest));
        let is_growing = |table: &str| GROWING.contains(&table);
        match index.and_then(|index| schema.tables.get(index).map(|table| (index, table))) {
            Some((index, table)) => {
                is_growing(table) && !SHORT.iter().any(|(short, _)| *short == index)
            }
            None => schema.named(name, statement).into_iter().any(is_growing),
        }
    };
    steps.iter().filter(walks).cloned().collect()
}

#[tokio::test]
async fn no_statement_walks_over_what_grows() {
    let bed = Bed::new().await;
    let mut connection = bed.raw().await;
    let schema = Schema::read(&mut connection).await;
    let (mut looked_at, mut found, mut meant) = (0, Vec::new(), BTreeSet::new());
    for (file, source) in sources() {
        for statement in statements(&source) {
            looked_at += 1;
            for step in walks(&mut connection, &schema, &statement).await {
                match MEANT.iter().find(|(known, _)| *known == file) {
                    Some((known, _)) => {
                        meant.insert(*known);
                    }
                    None => found.push(format!("{file}: {step}: {statement}")),
                }
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
    assert!(looked_at > 150, "only {looked_at} statements were found: is the source where it was?");
    assert_eq!(meant, MEANT.iter().map(|(file, _)| *file).collect(), "an exception is not needed");
}

#[tokio::test]
async fn no_statement_that_is_put_together_walks_over_what_grows() {
    let bed = Bed::new().await;
    let mut connection = bed.raw().await;
    let schema = Schema::read(&mut connection).await;
    let mut found = Vec::new();
    let built = built();
    for statement in &built {
        for step in walks(&mut connection, &schema, statement).await {
            found.push(format!("{step}: {statement}"));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
    assert!(built.len() > 100, "only {} statements were built", built.len());
    let builders: BTreeSet<String> = sources()
        .into_iter()
        .filter(|(_, source)| source.contains("QueryBuilder") && source.contains("::new("))
        .filter(|(_, source)| {
            source.contains("QueryBuilder::new(") || source.contains("QueryBuilder::<Sqlite>::new(")
        })
        .map(|(file, _)| file)
        .collect();
    let known: BTreeSet<String> = BUILDERS.iter().map(|(file, _)| (*file).to_owned()).collect();
    assert_eq!(builders, known, "another file puts statements together; build them here");
}

/// Otherwise SQLite plans each statement with a bound LIMIT again whenever it runs, and not as it is looked at here.
#[tokio::test]
async fn the_plan_of_a_statement_depends_on_its_text_alone() {
    let bed = Bed::new().await;
    let mut connection = bed.raw().await;
    let built_so: bool = sqlx::query_scalar("SELECT sqlite_compileoption_used('ENABLE_QPSG')")
        .fetch_one(&mut connection)
        .await
        .expect("an answer");
    assert!(built_so, "SQLite was built without the flags in .cargo/config.toml");
}

/// A test that finds nothing must be able to find something.
#[tokio::test]
async fn a_walk_is_seen() {
    let bed = Bed::new().await;
    let mut connection = bed.raw().await;
    let schema = Schema::read(&mut connection).await;
    for walk in [
        "SELECT * FROM ticket WHERE title = ?1",
        "SELECT * FROM ticket_row WHERE description = ?1",
        "SELECT COUNT(*) FROM attempt a WHERE a.stage = ?1",
        "SELECT 1 FROM project p WHERE EXISTS (SELECT 1 FROM comment c WHERE c.author = p.name)",
        "DELETE FROM event WHERE at < ?1",
        "SELECT ticket_id FROM ticket WHERE project_id = ?1 AND state <> 'closed'",
    ] {
        assert!(!walks(&mut connection, &schema, walk).await.is_empty(), "{walk}");
    }
}

/// What a notifier of every kind of event passes on.
fn all_kinds(projects: Option<Vec<i64>>) -> Part {
    Part { ticket: None, projects, kinds: EventKind::ALL.to_vec() }
}

/// Every shape of the statements that are put together.
#[expect(clippy::too_many_lines, reason = "one line for each statement")]
fn built() -> Vec<String> {
    let (ticket, project) = (TicketId::from_key(1), ProjectKey(1));
    let mut all = vec![
        accounts::select_of_project(project, RULES, NOW),
        accounts::select_funds(ticket, RULES, NOW),
        history::select_waiting(project, "impl", 10, RULES, NOW),
        queues::select_waiting_queues(RULES, NOW),
        notifiers::select_next(EventSeq(7), &all_kinds(None), 100),
        notifiers::select_next(EventSeq(7), &all_kinds(Some(vec![1, 2])), 100),
        mark::select_next(&Progress::at(2), 9),
        mark::select_passed(&Progress::at(2), 1, "ticket_closed", 2),
        seek::select_open(WorkerId::from_key(1)),
    ];
    let mut claiming = QueryBuilder::new("");
    seek::push_claiming(&mut claiming, WorkerId::from_key(1), "pull");
    let mut creating = QueryBuilder::new("");
    create::push_question(&mut creating, "demo".into(), None, "[]".into());
    all.extend([claiming, creating]);
    for comment in [None, Some(CommentId::from_key(1))] {
        let attempts_before = Some(AttemptId::from_key(9));
        let history = History { comments_before: None, attempts_before, comment };
        all.push(history::select_detail(ticket, history, RULES, NOW));
    }
    let page = Page { after: None, limit: 10 };
    for key in [None, Some(project)] {
        all.push(queues::select_queues(key, page));
        for kind in [None, Some(HoldKind::Question)] {
            all.push(QueryBuilder::new(inbox::select_held(key, kind)));
        }
        for stage in [None, Some("impl".to_owned())] {
            for state in [None, Some("on_hold".to_owned())] {
                for open in [false, true] {
                    for hold_kind in [None, Some(HoldKind::Question)] {
                        for newest_first in [false, true] {
                            let filter = TicketFilter {
                                open,
                                project: None,
                                states: state.clone().into_iter().collect(),
                                stage: stage.clone(),
                                hold_kind,
                                newest_first,
                            };
                            all.push(tickets::select(&filter, key, page));
                        }
                    }
                }
            }
            for state in [None, Some(WorkerState::Idle)] {
                let worker_type = stage.clone();
                for live in [false, true] {
                    let worker_type = worker_type.clone();
                    let filter = WorkerFilter { project: None, worker_type, state, live };
                    all.push(workers::select(&filter, key, page));
                }
            }
        }
        for kinds in [Vec::new(), vec![EventKind::TicketCreated, EventKind::TicketClosed]] {
            for about in [None, Some(ticket)] {
                for include_processed in [false, true] {
                    let query = EventQuery {
                        after: Some(EventSeq(3)),
                        include_processed,
                        scope: EventScope::default(),
                        consumer: "test".into(),
                        limit: 10,
                    };
                    let projects = key.map(|key| vec![key.0]);
                    let part = Part { ticket: about, projects, kinds: kinds.clone() };
                    let progress = Progress::at(2);
                    all.push(events::select(&query, &part, &progress));
                    all.push(mark::insert_marks(&part, &progress, "[4]"));
                    all.push(past_events::select(&part, 9, 10));
                    for kind in part.by_kind() {
                        let up_to = EventSeq(9);
                        all.push(mark::select_newly_marked(&part, &progress, kind, up_to));
                    }
                }
            }
        }
    }
    for query in table_queries() {
        for key in [None, Some(project)] {
            all.push(table::select(&query, key, 100, 10));
            all.push(table::select_count(&query, key));
            all.push(table::select_after(&query, key, 7, 10));
        }
    }
    for narrowed in narrowings() {
        all.push(usage::select_total(&narrowed));
        for by in GroupBy::ALL {
            // There are as many groups as attempts.
            if by != GroupBy::Attempt {
                all.push(counted::select_count(&narrowed, by));
            }
            let dearest = matches!(by, GroupBy::Ticket | GroupBy::Stage | GroupBy::Attempt);
            // Others are walked from the dearest down; a long period has its days.
            if !dearest || narrowed.ticket.is_some() || narrowed.period.is_some() {
                all.push(usage::select_groups(&narrowed, by, 0, 10));
            }
            if dearest && narrowed.ticket.is_none() {
                let whole = by == GroupBy::Ticket && narrowed.worker_type.is_none();
                for after in [None, Some(dearest::Candidate::default())] {
                    all.push(dearest::select_candidates(&narrowed, whole, after.as_ref()));
                }
                let candidates = [dearest::Candidate::default()];
                all.push(dearest::select_groups(&narrowed, by, whole, &candidates));
            }
        }
    }
    all.into_iter().map(QueryBuilder::into_string).collect()
}

fn table_queries() -> Vec<TableQuery> {
    let mut all = Vec::new();
    for states in [vec![], vec!["closed"], vec!["queued", "on_hold"]] {
        for stage in [None, Some("impl".to_owned())] {
            for text in [None, Some("coupon".to_owned())] {
                for sort in [SortBy::Id, SortBy::Cost, SortBy::Title] {
                    for descending in [false, true] {
                        all.push(TableQuery {
                            project: None,
                            states: states.clone(),
                            stage: stage.clone(),
                            priority: Some(Priority::High).filter(|_| !states.contains(&"closed")),
                            hold_kind: Some(HoldKind::Question).filter(|_| states.is_empty()),
                            text: text.clone(),
                            sort,
                            descending,
                        });
                    }
                }
            }
        }
    }
    all
}

fn narrowings() -> Vec<Narrowed> {
    let mut all = Vec::new();
    for project in [None, Some(ProjectKey(1))] {
        for ticket in [None, Some(TicketId::from_key(1))] {
            for worker_type in [None, Some("impl".to_owned())] {
                for period in [None, Some(Period { since: 1, until: 3 * 86_400_000 + 1 })] {
                    all.push(Narrowed {
                        project,
                        ticket,
                        worker_type: worker_type.clone(),
                        period,
                    });
                }
            }
        }
    }
    all
}
