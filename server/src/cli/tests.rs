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
