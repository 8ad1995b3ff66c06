//! An agent that obeys a script, in place of `claude -p` in tests.
//!
//! The script is in the prompt, so it takes the same path as real work: lines `fake: STAGE:
//! COMMAND` of the ticket's description (or of a comment, or of a report) apply to the stage
//! `STAGE`, `fake: *: …` to every stage, and `fake: STAGE#2: …` to the second run of that stage
//! only. A file `scripts/T-7` under `CLAUDE_FAKE_DIR` is a script too, of a ticket whose description
//! people read. Without a line for it, a stage completes with the report `STAGE done`. The commands are in
//! [`script`], those of a hostile agent in [`attack`], and the names that may occur in their paths
//! and texts (`{ticket}`, `{run}`, …) in [`places`].
//!
//! Its output has the shape of claude 2.1.330's `stream-json`. Its arguments, environment and
//! prompt are recorded under `CLAUDE_FAKE_DIR`, see `e2e::fake`.

mod attack;
mod places;
mod record;
mod script;
mod stream;
mod tree;

use std::io::Read;
use std::process::ExitCode;

use crate::places::Places;
use crate::record::Recorder;
use crate::script::Command;
use crate::stream::Stream;
use crate::stream::Verdict;

/// The exit code of an agent that could not do its work.
const GAVE_UP: i32 = 101;

fn main() -> ExitCode {
    let started_ns = record::now_ns();
    let argv: Vec<String> = std::env::args().collect();
    if let Some(exit) = tree::if_helper(&argv) {
        return exit;
    }
    let terminable = stream::exit_143_on_term();
    let mut prompt = String::new();
    if let Err(error) = std::io::stdin().read_to_string(&mut prompt) {
        eprintln!("fake-claude: could not read the prompt: {error}");
        return ExitCode::FAILURE;
    }
    let recorder = Recorder::begin(argv.clone(), &prompt, started_ns);
    let call = recorder.call();
    let script = format!("{}\n{}", recorder.script(&prompt), recorder.filed_script());
    let commands = match script::for_run(&script, &call.stage, call.run) {
        Ok(commands) => commands,
        Err(error) => {
            eprintln!("fake-claude: {error}");
            return recorder.end(2);
        }
    };
    let mut stream = match recorder.open_session() {
        Ok(session) => Stream::open(session, &call.cwd),
        Err(refused) => {
            eprintln!("{refused}");
            return recorder.end(1);
        }
    };

    // When it is asked for the outcome, it must not claim to have finished work that it gave up or
    // was killed in.
    if call.is_question() && !recorder.knows_of_work_done() {
        stream.say("Not all of it was done.");
        stream.result(&Verdict::NoOutput);
        return recorder.end(0);
    }
    // Looked up now: the working directory may be gone when a later command needs it.
    let places = Places::of(call);
    let mut exit_code = None;
    for command in &commands {
        match command {
            Command::Exit(code) => return recorder.end(*code),
            Command::Die(signal) => {
                // The first SEGV or BUS only removes Rust's handler, which looks for stack
                // overflows.
                for _ in 0..2 {
                    nix::sys::signal::raise(*signal).expect("a signal of the platform");
                }
            }
            Command::IgnoreTerm => terminable.store(false, std::sync::atomic::Ordering::SeqCst),
            Command::Result(verdict) => {
                if !verdict.is_error() {
                    recorder.work_done();
                }
                stream.result(verdict);
                exit_code = Some(i32::from(verdict.is_error()));
            }
            Command::HangAfterResult => {
                if exit_code.is_none() {
                    recorder.work_done();
                    stream.result(&script::done(&call.stage));
                }
                loop {
                    std::thread::park();
                }
            }
            Command::Act(action) => {
                if let Err(why) = script::act(action, &mut stream, &places) {
                    eprintln!("fake-claude: gives up: {why}");
                    return recorder.end(GAVE_UP);
                }
            }
        }
    }
    let exit_code = exit_code.unwrap_or_else(|| {
        recorder.work_done();
        stream.result(&script::done(&call.stage));
        0
    });
    recorder.end(exit_code)
}
