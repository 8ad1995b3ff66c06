//! The command line as clap has it, and the words that `--help` prints.

use clap::CommandFactory as _;
use clap::Parser as _;

use crate::cli::Cli;
use crate::cli::Command;
use crate::cli::commands::serve::Serve;

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
        let help = command.render_long_help().to_string();
        crate::snapshot::holds(&format!("help-{}", command.get_name()), &help);
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
