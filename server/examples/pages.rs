//! Writes the manual pages and the completions of both programs: what the package holds and no user runs.
//!
//! ```text
//! cargo run -p vibe-ensemble-server --example pages -- DIR SHIM     # man/*.1, bash/*, zsh/*, fish/*
//! ```
//!
//! An example, so that neither program carries the code for it. The server's pages come from its command line as clap
//! knows it. The shim has no clap, for the sake of its size: its own `--help` is read instead, and an option that is not
//! understood is an error.

use std::fs;
use std::io;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command as Process;
use std::process::ExitCode;

use clap::Arg;
use clap::ArgAction;
use clap::Command;
use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;
use vibe_ensemble_server::cli::Cli;

const SHELLS: [(Shell, &str); 3] =
    [(Shell::Bash, "bash"), (Shell::Zsh, "zsh"), (Shell::Fish, "fish")];

const FILES: &[(&str, &str)] = &[
    ("/etc/vibe-ensemble/config.toml", "the configuration of the system's server"),
    ("~/.config/vibe-ensemble/config.toml", "the configuration of a user's own server"),
    ("/var/lib/vibe-ensemble", "state of the system's server: database, tokens, run directories"),
    ("~/.local/state/vibe-ensemble", "state of a user's own server"),
    ("/run/vibe-ensemble, $XDG_RUNTIME_DIR/vibe-ensemble", "sockets, the lock, the address"),
];

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(directory), Some(shim)) = (arguments.next(), arguments.next()) else {
        complain("usage: pages DIR SHIM");
        return ExitCode::from(2);
    };
    match write(&directory, &shim) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn complain(words: &str) {
    writeln!(io::stderr(), "{words}").unwrap_or_default();
}

fn write(directory: &Path, shim: &Path) -> io::Result<()> {
    for mut command in [shown(Cli::command()), of_help(shim)?] {
        command.build();
        for (shell, name) in SHELLS {
            let beside = directory.join(name);
            fs::create_dir_all(&beside)?;
            let program = command.get_name().to_owned();
            clap_complete::generate_to(shell, &mut command, program, &beside)?;
        }
        let beside = directory.join("man");
        fs::create_dir_all(&beside)?;
        pages(&command, command.get_name(), &beside)?;
    }
    Ok(())
}

/// Without what is hidden, and without the subcommand that only repeats `--help`.
fn shown(mut command: Command) -> Command {
    let hidden: Vec<String> = command
        .get_subcommands()
        .filter(|one| one.is_hide_set())
        .map(|one| one.get_name().to_owned())
        .collect();
    let kept: Vec<Command> =
        command.get_subcommands().filter(|one| !one.is_hide_set()).cloned().collect();
    if hidden.is_empty() {
        return command;
    }
    // clap adds subcommands and takes none away: the same head gets the ones that are shown.
    let mut head = Command::new(command.get_name().to_owned())
        .version(command.get_version().unwrap_or_default().to_owned())
        .subcommand_required(true)
        .disable_help_subcommand(true);
    if let Some(about) = command.get_about().cloned() {
        head = head.about(about);
    }
    if let Some(about) = command.get_long_about().cloned() {
        head = head.long_about(about);
    }
    if let Some(after) = command.get_after_help().cloned() {
        head = head.after_help(after);
    }
    command = head.subcommands(kept);
    command
}

/// One page per command, as git has it: `vibe-ensemble(1)`, `vibe-ensemble-serve(1)`.
fn pages(command: &Command, name: &str, directory: &Path) -> io::Result<()> {
    let command = command.clone().disable_help_subcommand(true);
    let page = Man::new(command.clone().display_name(name.to_owned()))
        .title(name.to_uppercase())
        .source(format!("Vibe-Ensemble {}", env!("CARGO_PKG_VERSION")))
        .manual("Vibe-Ensemble");
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    let subcommands: Vec<&Command> =
        command.get_subcommands().filter(|one| one.get_name() != "help").collect();
    if !subcommands.is_empty() {
        page.render_subcommands_section(&mut text)?;
    }
    if let Some(examples) = command.get_after_help() {
        // These lines are columns already, which filling would undo.
        let lines = examples.to_string().replace('\\', "\\e").replace('-', "\\-");
        writeln!(text, ".SH EXAMPLES\n.nf")?;
        // The heading has said what they are.
        for line in lines.lines().skip(1).map(|line| line.strip_prefix("  ").unwrap_or(line)) {
            // A dot or a quote that begins a line is a command to roff.
            writeln!(text, "\\&{line}")?;
        }
        writeln!(text, ".fi")?;
    }
    if command.get_name() == "vibe-ensemble" {
        writeln!(text, ".SH FILES")?;
        for (path, what) in FILES {
            writeln!(text, ".TP\n\\fI{}\\fR\n{what}", path.replace('-', "\\-"))?;
        }
        writeln!(text, ".SH \"SEE ALSO\"\n.BR vibe\\-ensemble\\-shim (1),\n.BR systemd (1)")?;
    }
    fs::write(directory.join(format!("{name}.1")), text)?;
    for one in subcommands {
        pages(one, &format!("{name}-{}", one.get_name()), directory)?;
    }
    Ok(())
}

/// The shim's command line, from what it prints for `--help`: a first line that says what it is, paragraphs, and options
/// in lines of two columns.
fn of_help(shim: &Path) -> io::Result<Command> {
    let strange = |what: &str| io::Error::other(format!("{}: {what}", shim.display()));
    let output = Process::new(shim).arg("--help").output()?;
    let help = String::from_utf8(output.stdout).map_err(io::Error::other)?;
    if !output.status.success() {
        return Err(strange("--help failed"));
    }
    let mut paragraphs = help.split("\n\n");
    let about = paragraphs.next().filter(|first| !first.is_empty());
    let about = about.ok_or_else(|| strange("--help says nothing"))?.trim_end_matches('.');
    let mut command = Command::new("vibe-ensemble-shim")
        .version(env!("CARGO_PKG_VERSION"))
        .about(about.to_owned());
    let mut more = Vec::new();
    for paragraph in paragraphs.filter(|one| !one.starts_with("Usage:")) {
        if !paragraph.trim_start().starts_with("--") {
            more.push(paragraph.trim_end());
            continue;
        }
        // A line that is not an option continues the one before.
        let mut options: Vec<(String, String)> = Vec::new();
        for line in paragraph.lines().map(str::trim) {
            match line.strip_prefix("--").and_then(|rest| rest.split_once("  ")) {
                Some((long, what)) => options.push((long.to_owned(), what.trim().to_owned())),
                None => match options.last_mut() {
                    Some((_, what)) if !line.starts_with('-') => *what = format!("{what} {line}"),
                    _ => return Err(strange(&format!("an option like no other: {line}"))),
                },
            }
        }
        for (long, what) in options {
            // clap has these two of itself.
            if long != "help" && long != "version" {
                let flag = Arg::new(long.clone()).long(long).action(ArgAction::SetTrue);
                command = command.arg(flag.help(what));
            }
        }
    }
    Ok(command.long_about(format!("{about}.\n\n{}", more.join("\n\n"))))
}
