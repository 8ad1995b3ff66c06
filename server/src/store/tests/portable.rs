//! The file as other programs read it: the SQLite of a distribution may be years older than ours, and refuses a whole file
//! for one view that it cannot parse.

use sqlx::Row as _;

use super::*;

/// Whether an aggregate sorts its rows in an argument: `ORDER BY` inside the parentheses of a function, outside any
/// sub-select. SQLite before 3.44 cannot parse it.
fn sorts_inside_an_aggregate(sql: &str) -> bool {
    let plain = sql.lines().map(|line| line.split("--").next().unwrap_or_default());
    let text = plain.collect::<Vec<_>>().join(" ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = text.split_whitespace().collect();
    // Of each parenthesis that is open: whether it holds the arguments of a function.
    let mut open: Vec<bool> = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let next = words.get(at + 1).copied().unwrap_or_default().to_ascii_uppercase();
        match *word {
            "(" => {
                let before = at.checked_sub(1).map_or("", |before| words[before]);
                let is_name = before.chars().all(|c| c.is_ascii_lowercase() || c == '_')
                    && !before.is_empty();
                open.push(is_name && next != "SELECT");
            }
            ")" => drop(open.pop()),
            word if word.eq_ignore_ascii_case("ORDER")
                && next == "BY"
                && open.last().copied().unwrap_or_default() =>
            {
                return true;
            }
            _ => {}
        }
    }
    false
}

#[test]
fn a_sorted_aggregate_is_told_from_a_sorted_select() {
    for (sql, is_one) in [
        ("SELECT json_group_array(x ORDER BY y) FROM t", true),
        ("SELECT json((SELECT json_group_array(json_array(b.a, b.b) ORDER BY b.a) FROM b))", true),
        ("SELECT group_concat(x, ',' order by y) FROM t", true),
        ("SELECT json_group_array(x) FROM (SELECT x FROM t ORDER BY y)", false),
        ("SELECT json_group_array(x) -- (ORDER BY y)\n FROM t ORDER BY x", false),
        ("SELECT max(COALESCE((SELECT x FROM t ORDER BY y LIMIT 1), 0)) FROM t", false),
    ] {
        assert_eq!(sorts_inside_an_aggregate(sql), is_one, "{sql}");
    }
}

#[tokio::test]
async fn the_schema_has_no_aggregate_that_an_old_sqlite_cannot_parse() {
    let bed = Bed::new().await;
    let rows = sqlx::query("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
        .fetch_all(&bed.store.readers)
        .await
        .unwrap();
    assert!(rows.len() > 50, "{}", rows.len());
    for row in rows {
        let (name, sql): (String, String) = (row.get(0), row.get(1));
        assert!(!sorts_inside_an_aggregate(&sql), "{name}: {sql}");
    }
}
