//! The command line as clap has it, and the words that `--help` prints.

use clap::CommandFactory as _;
use clap::Parser as _;

use crate::cli::Cli;
use crate::cli::Command;
use crate::cli::commands::serve::Serve;
use crate::cli::slips;

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn the_help_is_the_reviewed_one() {
    let help = Cli::command().term_width(100).render_long_help().to_string();
    crate::snapshot::holds("help", &help);
}

#[test]
fn the_help_of_each_command_is_the_reviewed_one() {
    let mut cli = Cli::command().term_width(100);
    cli.build();
    for command in cli.get_subcommands_mut() {
        // It takes the options of claude, and `--help` is one of them.
        if command.get_name() == "scripted-agent" || command.get_name() == "help" {
            continue;
        }
        let mut help = command.render_long_help().to_string();
        for below in command.get_subcommands_mut().filter(|below| below.get_name() != "help") {
            let inner = below.render_help().to_string();
            help.extend(["\n", "$ ", &inner]);
        }
        crate::snapshot::holds(&format!("help-{}", command.get_name()), &help);
    }
}

/// The command for each tool of a coordinator.
const COMMANDS: [(&str, &str); 38] = [
    ("create_project", "project create"),
    ("get_project", "project show"),
    ("list_projects", "project list"),
    ("update_project", "project update"),
    ("delete_project", "project delete"),
    ("create_worker_type", "type create"),
    ("get_worker_type", "type show"),
    ("list_worker_types", "type list"),
    ("update_worker_type", "type update"),
    ("delete_worker_type", "type delete"),
    ("list_worker_templates", "type templates"),
    ("spawn_worker", "worker spawn"),
    ("stop_worker", "worker stop"),
    ("list_workers", "worker list"),
    ("get_worker_status", "worker show"),
    ("list_queues", "queue list"),
    ("get_queue_status", "queue show"),
    ("delete_queue", "queue empty"),
    ("pause", "pause"),
    ("resume", "resume"),
    ("stop", "stop"),
    ("list_inbox", "inbox"),
    ("create_ticket", "ticket create"),
    ("update_ticket", "ticket update"),
    ("get_ticket", "ticket show"),
    ("list_tickets", "ticket list"),
    ("add_ticket_comment", "ticket comment"),
    ("complete_ticket_stage", "ticket complete"),
    ("close_ticket", "ticket close"),
    ("resume_ticket", "ticket resume"),
    ("run_gates", "gate run"),
    ("waive_gate", "gate waive"),
    ("list_events", "event list"),
    ("mark_events_processed", "event mark"),
    ("get_usage", "usage"),
    ("list_notifiers", "notify list"),
    ("test_notifier", "notify test"),
    ("resume_notifier", "notify resume"),
];

/// Fields that a command takes under another name, or does by itself, and how.
const OTHERWISE: [(&str, &str, &str); 18] = [
    // The list is followed to its end.
    ("list_projects", "limit", "every project is listed"),
    ("list_worker_types", "limit", "every worker type is listed"),
    ("list_worker_templates", "limit", "every template is listed"),
    ("list_queues", "limit", "every queue is listed"),
    ("list_inbox", "kinds", "what needs an answer comes first"),
    ("list_workers", "worker_type", "--project and the table"),
    ("list_tickets", "hold_kind", "`inbox` lists what waits, by its kind"),
    ("list_events", "include_processed", "all are printed but with --unmarked"),
    ("list_events", "wait_seconds", "--follow"),
    ("list_events", "limit", "every event is printed"),
    ("list_events", "consumer", "--unmarked reads those of the coordinator"),
    ("list_events", "ticket_id", "--ticket"),
    ("stop", "ticket_id", "WHAT"),
    ("stop", "worker_id", "WHAT"),
    ("stop", "project", "WHAT"),
    ("get_usage", "limit", "every row is printed"),
    ("get_usage", "group_by", "--by"),
    ("get_usage", "ticket_id", "--ticket"),
];

fn command_of<'c>(cli: &'c clap::Command, path: &str) -> Option<&'c clap::Command> {
    path.split(' ').try_fold(cli, |command, name| command.find_subcommand(name))
}

#[test]
fn a_shell_can_do_whatever_a_coordinator_can() {
    let mut cli = Cli::command();
    cli.build();
    for tool in crate::mcp::tool_names() {
        let path = COMMANDS.iter().find(|(name, _)| *name == tool);
        let (_, path) =
            path.unwrap_or_else(|| panic!("{tool} has no command: name it in COMMANDS"));
        let command =
            command_of(&cli, path).unwrap_or_else(|| panic!("there is no command {path}"));
        let schema = crate::mcp::arguments_of(tool).expect("it is one of the tools");
        for field in schema["properties"].as_object().expect("an object").keys() {
            let option = field.replace('_', "-");
            let taken = command.get_arguments().any(|argument| {
                argument.get_id() == field.as_str() || argument.get_long() == Some(&option)
            });
            let otherwise =
                OTHERWISE.iter().any(|(of, name, _)| *of == tool && *name == field.as_str());
            let followed = field.ends_with("cursor");
            assert!(taken || otherwise || followed, "`{path}` does not take {field} of {tool}");
        }
    }
}

/// Help is read by people at a shell: it names commands, not tools.
#[test]
fn no_help_names_a_tool() {
    let mut cli = Cli::command().term_width(200);
    cli.build();
    let tools: Vec<&str> =
        crate::mcp::tool_names().into_iter().filter(|tool| tool.contains('_')).collect();
    let mut commands: Vec<(String, &clap::Command)> =
        cli.get_subcommands().map(|command| (command.get_name().to_owned(), command)).collect();
    while let Some((path, command)) = commands.pop() {
        if path == "call" || path.starts_with("help") {
            continue;
        }
        let help = command.clone().render_long_help().to_string();
        for tool in &tools {
            assert!(!help.contains(tool), "`{path} --help` names {tool}:\n{help}");
        }
        let below = command.get_subcommands();
        commands.extend(below.map(|it| (format!("{path} {}", it.get_name()), it)));
    }
}

/// How a command refuses an option it does not have, a value or an argument that is missing, and one that is wrong.
#[test]
fn the_refusals_of_arguments_are_the_reviewed_ones() {
    let mut cli = Cli::command();
    cli.build();
    for command in cli.get_subcommands() {
        let name = command.get_name();
        // One takes the options of claude, the other the names of commands.
        if name == "scripted-agent" || name == "help" {
            continue;
        }
        let required = command.get_arguments().filter(|argument| argument.is_required_set());
        let given: Vec<&str> = required.map(|_| "T-1").collect();
        let options: Vec<&str> = command
            .get_arguments()
            .filter(|argument| argument.get_action().takes_values())
            .filter_map(|argument| argument.get_long())
            .collect();
        let option = |option: &str| format!("--{option}");
        let mut typed = vec![vec!["--nonsense".to_owned()]];
        if !given.is_empty() {
            typed.push(Vec::new());
        }
        typed.extend(options.first().map(|first| vec![option(first)]));
        typed.extend(options.iter().map(|it| vec![option(it), "nonsense".to_owned()]));
        let refusals: Vec<String> = typed
            .into_iter()
            .filter_map(|typed| {
                let given = if typed.is_empty() { &[][..] } else { &given[..] };
                let given = given.iter().map(|argument| (*argument).to_owned());
                let words: Vec<String> = given.chain(typed).collect();
                let line = ["vibe-ensemble", name].into_iter().map(str::to_owned);
                let refusal = Cli::try_parse_from(line.chain(words.clone())).err()?;
                let refusal = slips::helped(refusal, &Cli::command(), &words);
                assert!(!refusal.to_string().contains("as a value"), "{refusal}");
                assert_eq!(refusal.exit_code(), 2, "{name} {words:?}");
                Some(format!("$ vibe-ensemble {name} {}\n{refusal}", words.join(" ")))
            })
            .collect();
        assert!(!refusals.is_empty(), "{name} takes an option that it does not have");
        crate::snapshot::holds(&format!("arguments-{name}"), &refusals.join("\n"));
    }
}

#[test]
fn first_lines_end_without_a_full_stop() {
    for command in Cli::command().get_subcommands() {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        assert!(!about.is_empty() && !about.ends_with('.'), "{}: {about:?}", command.get_name());
    }
}

#[test]
fn the_scripted_agent_takes_what_claude_takes() {
    let given =
        ["vibe-ensemble", "scripted-agent", "-p", "--session-id", "x", "--version", "--help"];
    let command = Cli::try_parse_from(given).expect("parses").command;
    assert!(matches!(command, Command::ScriptedAgent(agent) if agent.arguments.len() == 5));
}

#[test]
fn options_of_the_table_are_flags_of_serve() {
    let given = "vibe-ensemble serve --max-workers 3 --config x.toml --env-pass=A,B";
    let command = Cli::try_parse_from(given.split(' ')).expect("parses").command;
    let Command::Serve(Serve { flags }) = command else { panic!("expected serve") };
    assert_eq!(flags.config, Some("x.toml".into()));
    assert_eq!(
        (flags.given["max_workers"].as_str(), flags.given["env_pass"].as_str()),
        ("3", "A,B")
    );
    assert!(Cli::try_parse_from(["vibe-ensemble", "serve", "--env", "A=B"]).is_err());
}

fn tips(typed: &str) -> Vec<String> {
    let typed: Vec<String> = typed.split(' ').map(str::to_owned).collect();
    slips::meant(&Cli::command(), &typed[0], &typed)
}

#[test]
fn a_verb_alone_names_the_nouns_that_have_it() {
    assert_eq!(
        tips("create"),
        ["ticket create", "project create", "type create"].map(|it| format!("vibe-ensemble {it}"))
    );
    assert_eq!(tips("close T-42"), ["vibe-ensemble ticket close T-42"]);
    assert_eq!(tips("spawn shop build"), ["vibe-ensemble worker spawn shop build"]);
    assert_eq!(tips("ps"), ["vibe-ensemble worker list"]);
    assert_eq!(tips("statsu"), ["vibe-ensemble status"]);
    assert!(tips("frobnicate").is_empty());
}

#[test]
fn nobody_is_pointed_to_a_hidden_command() {
    for typed in ["create", "scripted", "script-agent", "agent"] {
        assert!(tips(typed).iter().all(|tip| !tip.contains("scripted")), "{typed}");
    }
}

#[test]
fn the_tip_stands_in_the_error() {
    let typed = ["create".to_owned()];
    let error = Cli::try_parse_from(["vibe-ensemble", "create"]).unwrap_err();
    let text = slips::helped(error, &Cli::command(), &typed).to_string();
    assert!(text.contains("vibe-ensemble ticket create"), "{text}");
    assert!(!text.contains("scripted-agent"), "{text}");
}
