//! `usage`: what the work has used.

use clap::Args;
use clap::ValueEnum;
use clap::builder::PossibleValue;
use serde_json::json;

use crate::cli::client;
use crate::cli::client::Client;
use crate::cli::connection::Connection;
use crate::cli::ids;
use crate::cli::ids::Noun;
use crate::cli::output;
use crate::cli::output::cell_of;
use crate::cli::queues;
use crate::cli::terminal::Cell;
use crate::cli::terminal::Column;
use crate::cli::terminal::Display;
use crate::cli::terminal::Line;
use crate::cli::terminal::Page;
use crate::cli::terminal::Screen;
use crate::cli::terminal::Since;
use crate::cli::terminal::Table;
use crate::cli::terminal::Tone;
use crate::cli::terminal::memory;
use crate::cli::whole;
use crate::config::Environment;
use crate::domain::text;
use crate::exit::Exit;
use crate::store::GroupBy;
use crate::wire::project::ProjectView;
use crate::wire::project::ProjectWithCounts;
use crate::wire::usage::UsageView;

impl ValueEnum for GroupBy {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            // Written as options are, and as the tool writes it.
            Self::WorkerType => PossibleValue::new("worker-type").alias(self.name()),
            Self::Day | Self::Project | Self::Ticket | Self::Stage | Self::Attempt => {
                PossibleValue::new(self.name())
            }
        })
    }
}

#[derive(Debug, Args)]
pub struct Usage {
    /// What to sum by
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = GroupBy::Day)]
    pub by: GroupBy,
    /// Only attempts of this project
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,
    /// Only attempts at this ticket
    #[arg(long, value_name = "T-N", value_parser = ids::parser(Noun::Ticket))]
    pub ticket: Option<String>,
    /// Only attempts of this worker type
    #[arg(long, value_name = "WORKER_TYPE")]
    pub worker_type: Option<String>,
    /// Only attempts that ended since then: so long ago (30m, 2h, 7d), a day (2026-11-22, UTC) or an instant (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub since: Option<Since>,
    /// Only attempts that ended before then
    #[arg(long, value_name = "TIME")]
    pub until: Option<Since>,
    /// Maximum number of groups to print; totals include all groups
    #[arg(long, allow_negative_numbers = true, short = 'n', value_name = "N", default_value_t = 100, value_parser = whole::at_least(1_u32))]
    pub limit: u32,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub display: Display,
    #[command(flatten)]
    pub connection: Connection,
}

pub async fn run(command: &Usage, environment: &Environment) -> anyhow::Result<Exit> {
    let screen = Screen::of(&command.display, environment);
    let client = client::find(&command.connection, environment)?;
    let instant = |since: Option<Since>| since.map(|since| since.instant(screen.now()).to_string());
    let (since, until) = (instant(command.since), instant(command.until));
    let mut arguments = client::given([
        ("project", &command.project),
        ("ticket_id", &command.ticket),
        ("worker_type", &command.worker_type),
        ("since", &since),
        ("until", &until),
    ]);
    arguments["group_by"] = json!(command.by.name());
    let asked = command.limit.saturating_add(1);
    let mut groups = client.list("get_usage", "usage", arguments.clone(), asked).await?;
    let limit = usize::try_from(command.limit).unwrap_or(usize::MAX);
    let more = groups.len() > limit;
    groups.truncate(limit);
    arguments["limit"] = json!(1);
    let mut sums = client.call("get_usage", arguments).await?;
    let (total, count) = (sums["total"].take(), sums["groups"].take());
    if command.json {
        let mut printed = json!({"usage": groups, "total": total});
        if !count.is_null() {
            printed["groups"] = count;
        }
        output::json(&printed)?;
        return Ok(Exit::Ok);
    }
    let mut groups: Vec<UsageView> = client.read("get_usage", groups.into())?;
    sort(command.by, &mut groups);
    let total: UsageView = client.read("get_usage", total)?;
    let mut page = table(command.by, &groups, &total, &screen);
    if more {
        page.line(Line::new().toned(part_of(groups.len(), count.as_i64()), Tone::Faint));
    }
    if let Some(kind) = &command.worker_type
        && total.attempts == 0
        && let Some(unknown) = queues::unknown(&client, command.project.as_deref(), kind).await?
    {
        page.line(Line::new().toned(unknown, Tone::Faint));
    }
    limits(command, &client, &mut page).await?;
    screen.show(&page)?;
    Ok(Exit::Ok)
}

/// That there are more groups than are shown, and how to see them.
fn part_of(shown: usize, all: Option<i64>) -> String {
    let of = all.map(|all| format!(" of {all}")).unwrap_or_default();
    let are = if shown == 1 { "is" } else { "are" };
    format!("The first {shown}{of} {are} shown; the total is of all. To see more, raise --limit.")
}

/// Those that cost the same are in the order of their numbers.
fn sort(by: GroupBy, groups: &mut [UsageView]) {
    if !matches!(by, GroupBy::Ticket | GroupBy::Stage | GroupBy::Attempt) {
        return;
    }
    let number = |id: &Option<String>| {
        let number = id.as_deref().and_then(|id| id.split_once('-'));
        number.and_then(|(_, number)| number.parse::<i64>().ok())
    };
    let place = |group: &UsageView| (number(&group.ticket_id), number(&group.attempt_id));
    groups.sort_by(|one, other| {
        other.cost_usd.total_cmp(&one.cost_usd).then_with(|| place(one).cmp(&place(other)))
    });
}

/// Projects whose limits are shown.
const MOST_PROJECTS: u32 = 20;

/// The limits that the dollars count against.
async fn limits(command: &Usage, client: &Client, page: &mut Page) -> anyhow::Result<()> {
    let today = client.status().await?.today;
    let mut lines = Vec::new();
    if let Some(limit) = today.limit_usd {
        let spent = today.cost_usd + today.assumed_usd;
        lines.push(format!("The server has used ${spent:.2} of ${limit:.2} today"));
    }
    let mut names: Vec<String> = command.project.iter().cloned().collect();
    if names.is_empty() {
        let all = client.list("list_projects", "projects", json!({}), MOST_PROJECTS).await?;
        let all: Vec<ProjectView> = client.read("list_projects", all.into())?;
        names = all.into_iter().map(|project| project.name).collect();
    }
    for name in names {
        let project: ProjectWithCounts =
            client.ask("get_project", json!({"project": name})).await?;
        let allowed = &project.limits;
        let each = [
            (allowed.max_budget_usd, "in all"),
            (allowed.max_budget_usd_per_day, "a day"),
            (allowed.max_budget_usd_per_ticket, "a ticket"),
        ];
        let each = each.into_iter().filter_map(|(usd, of)| Some(format!("${:.2} {of}", usd?)));
        let each: Vec<String> = each.collect();
        if !each.is_empty() {
            lines.push(format!("{name} may use {}", each.join(", ")));
        }
    }
    if !lines.is_empty() {
        page.heading("Limits");
        for line in lines {
            page.line(Line::new().text(format!("  {line}")).hang(2));
        }
    }
    Ok(())
}

const fn heading(by: GroupBy) -> &'static str {
    match by {
        GroupBy::Day => "DAY",
        GroupBy::Project => "PROJECT",
        GroupBy::WorkerType => "WORKER TYPE",
        GroupBy::Ticket => "TICKET",
        GroupBy::Stage => "STAGE",
        GroupBy::Attempt => "ATTEMPT",
    }
}

fn table(by: GroupBy, groups: &[UsageView], total: &UsageView, screen: &Screen) -> Page {
    let mut table = Table::new([
        Column::new(heading(by)).least(16),
        Column::new("COST").right(),
        Column::new("ASSUMED").right().sparse(),
        Column::new("ATTEMPTS").rank(3).right().sparse(),
        Column::new("TURNS").rank(5).right(),
        Column::new("INPUT").rank(2).right(),
        Column::new("CACHED").rank(7).right(),
        Column::new("OUTPUT").rank(4).right(),
        Column::new("TIME").rank(1).right(),
        Column::new("PEAK").rank(6).right(),
        Column::new("GATES").rank(8).right().sparse(),
        Column::new("GATE TIME").rank(9).right().sparse(),
        Column::new("GATE PEAK").rank(11).right().sparse(),
        Column::new("FLAKY").rank(10).right().sparse(),
    ]);
    let of_gates = |group: &UsageView, cell: String| match group.gate_runs {
        0 => Cell::default(),
        _ => cell.into(),
    };
    let tokens = |count| if screen.is_terminal() { rounded(count) } else { count.to_string() };
    let named = groups.iter().map(|group| (name(by, group), group, Tone::Plain));
    for (name, group, tone) in named.chain([("total".to_owned(), total, Tone::Strong)]) {
        let assumed =
            if group.unpriced == 0 { String::new() } else { format!("${:.2}", group.assumed_usd) };
        table.row([
            Cell::new(name).tone(tone),
            Cell::new(format!("${:.2}", group.cost_usd)).tone(tone),
            assumed.into(),
            // Each row is one attempt then.
            if by == GroupBy::Attempt { Cell::default() } else { group.attempts.into() },
            group.num_turns.into(),
            tokens(group.input_tokens).into(),
            tokens(group.cached_tokens).into(),
            tokens(group.output_tokens).into(),
            time(group.wall_seconds).into(),
            group.peak_memory_bytes.map(memory).unwrap_or_default().into(),
            of_gates(group, group.gate_runs.to_string()),
            of_gates(group, time(group.gate_wall_seconds)),
            of_gates(group, group.gate_peak_memory_bytes.map(memory).unwrap_or_default()),
            of_gates(group, group.gate_flaky.to_string()),
        ]);
    }
    let mut page = Page::new();
    page.table(table);
    if total.unpriced > 0 {
        let attempts = text::counted(total.unpriced, "attempt");
        let line = format!(
            "Assumed: {attempts} ended without reporting a cost; limits count them with these dollars."
        );
        page.line(Line::new().toned(line, Tone::Faint));
    }
    page
}

/// A number of tokens in three or four digits.
fn rounded(count: i64) -> String {
    match count {
        ..10_000 => count.to_string(),
        10_000..10_000_000 => format!("{}k", count / 1_000),
        _ => format!("{}M", count / 1_000_000),
    }
}

fn name(by: GroupBy, group: &UsageView) -> String {
    let of = |parts: &[&Option<String>]| {
        parts.iter().map(|part| cell_of(part.as_ref())).collect::<Vec<_>>().join(" ")
    };
    let UsageView { day, project, worker_type, ticket_id, attempt_id, .. } = group;
    match by {
        GroupBy::Day => of(&[day]),
        GroupBy::Project => of(&[project]),
        GroupBy::WorkerType => of(&[project, worker_type]),
        GroupBy::Ticket => of(&[ticket_id]),
        GroupBy::Stage => of(&[ticket_id, worker_type]),
        GroupBy::Attempt => of(&[attempt_id, ticket_id, worker_type]),
    }
}

fn time(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a sum of wall times, never negative"
    )]
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole}s"),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        _ => format!("{}h{:02}m", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_says_of_how_many_it_is() {
        let more = "the total is of all. To see more, raise --limit.";
        assert_eq!(part_of(1, Some(312)), format!("The first 1 of 312 is shown; {more}"));
        assert_eq!(part_of(100, None), format!("The first 100 are shown; {more}"));
    }

    #[test]
    fn times_are_short() {
        assert_eq!([0.4, 59.6, 3599.0, 7260.0].map(time), ["0s", "1m00s", "59m59s", "2h01m"]);
    }

    #[test]
    fn the_table_is_the_reviewed_one() {
        let group = UsageView {
            day: Some("2026-11-29".into()),
            project: Some("shop".into()),
            worker_type: Some("build".into()),
            ticket_id: Some("T-42".into()),
            attempt_id: Some("A-17".into()),
            attempts: 3,
            num_turns: 40,
            input_tokens: 120_000,
            cached_tokens: 100_000,
            output_tokens: 9000,
            cost_usd: 1.234,
            wall_seconds: 754.2,
            peak_memory_bytes: Some(300 << 20),
            ..UsageView::default()
        };
        let unpriced = UsageView {
            attempt_id: Some("A-18".into()),
            unpriced: 1,
            assumed_usd: 0.75,
            cost_usd: 0.0,
            peak_memory_bytes: None,
            ..group.clone()
        };
        let total = UsageView { unpriced: 1, assumed_usd: 0.75, ..group.clone() };
        let shown = |by, screen: Screen| {
            let page = table(by, &[group.clone(), unpriced.clone()], &total, &screen);
            screen.lines(&page).join("\n")
        };
        let gated = UsageView {
            gate_runs: 12,
            gate_wall_seconds: 320.0,
            gate_peak_memory_bytes: Some(900 << 20),
            gate_flaky: 2,
            ..group.clone()
        };
        let with_gates = |screen: Screen| {
            let page = table(GroupBy::Day, &[gated.clone(), group.clone()], &gated, &screen);
            screen.lines(&page).join("\n")
        };
        let texts = [
            with_gates(Screen::pipe()),
            with_gates(Screen::of_columns(120)),
            shown(GroupBy::Day, Screen::pipe()),
            shown(GroupBy::Attempt, Screen::of_columns(120)),
            shown(GroupBy::Attempt, Screen::of_columns(80)),
            shown(GroupBy::Day, Screen::of_columns(40)),
        ];
        crate::snapshot::holds("table-usage", &texts.join("\n\n"));
    }
}
